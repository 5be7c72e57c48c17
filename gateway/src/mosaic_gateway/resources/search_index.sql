-- name: words_before_walls
SELECT proleakproof FROM pg_proc WHERE oid = 'ts_match_vq(tsvector, tsquery)'::regprocedure;

-- name: tables
SELECT r.name, (SELECT a.atttypmod FROM pg_attribute a
                WHERE a.attrelid = to_regclass(r.name || '_vectors') AND a.attname = 'embedding') AS dimensions
FROM unnest($1::text[]) r (name) WHERE to_regclass(r.name || '_vectors') IS NOT NULL;

-- name: models
SELECT resource, model FROM search_models;

-- name: now_of_model
-- No row: they are of this model already. Other processes wait here for the first, and then find that.
INSERT INTO search_models AS m (resource, model) VALUES ($1, $2)
ON CONFLICT (resource) DO UPDATE SET model = excluded.model WHERE m.model <> excluded.model OR $3
RETURNING true;

-- name: forget
TRUNCATE "{table}_vectors";

-- name: want_all
INSERT INTO "{table}_vectors" (id) SELECT id FROM "{table}";

-- name: waiting
SELECT r.id, r.version, left(concat_ws(E'\n', {columns}), 10000) AS text
FROM "{table}_vectors" v JOIN "{table}" r ON r.id = v.id
WHERE v.embedding IS NULL AND v.id > $1 ORDER BY v.id LIMIT {batch};

-- name: keep
-- Only for rows that are still as they were read, and that nobody is changing: the others go on waiting.
WITH unchanged AS (
    SELECT r.id, n.embedding
    FROM unnest($1::uuid[], $2::bigint[], $3::text[]) n (id, version, embedding)
    JOIN "{table}" r ON r.id = n.id AND r.version = n.version
    FOR SHARE OF r SKIP LOCKED
)
UPDATE "{table}_vectors" v SET embedding = u.embedding::vector FROM unchanged u WHERE v.id = u.id
RETURNING v.id;

-- name: status
SELECT count(*) AS rows, count(*) FILTER (WHERE embedding IS NULL) AS waiting FROM "{table}_vectors";

-- name: language_index
CREATE INDEX CONCURRENTLY IF NOT EXISTS "{table}_{language}_idx" ON "{table}"
    USING gin ((ARRAY[CASE WHEN team_id IS NULL THEN owner_id ELSE team_id END]), ({text_vector}));
