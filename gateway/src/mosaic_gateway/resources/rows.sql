-- Braces are filled with pieces made from registered identifiers and numbered parameters, never with values.

-- name: page
-- One more row than asked for tells that there are more. Items are NULL where a row is so long that many like it would
-- exceed the budget, were each byte written in six, as JSON writes some: then long_page is asked, which adds up.
SELECT array_agg(CASE WHEN {weight} <= {budget} / {ceiling} / 6 THEN {json} END) AS items,
       (array_agg(r."{sort}"))[{limit}]::text AS value,
       (array_agg(r.id))[{limit}]::text AS id
FROM (SELECT r.* FROM ({ways}) r ORDER BY {order} LIMIT {limit} + 1) r;

-- name: long_page
-- First by what is told without unpacking a value; then, of the items that were made, by their own length: JSON writes
-- some characters in six bytes.
SELECT coalesce(string_agg(p.item, ','), '') AS items,
       count(p.item) AS kept,
       count(*) AS found,
       (array_agg(p.value))[count(p.item)]::text AS value,
       (array_agg(p.id))[count(p.item)]::text AS id
FROM (
    SELECT CASE WHEN i._n = 1 OR sum(octet_length(i.item)) OVER (ORDER BY i._n) <= {budget} THEN i.item END AS item,
           i.value, i.id
    FROM (
        SELECT CASE WHEN r._n <= {limit} AND (r._n = 1 OR r._bytes <= {budget}) THEN {json} END AS item,
               r."{sort}" AS value,
               r.id,
               r._n
        FROM (
            SELECT r.*, row_number() OVER w AS _n, sum({weight}) OVER w AS _bytes
            FROM ({ways}) r WINDOW w AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)
            ORDER BY {order} LIMIT {limit} + 1
        ) r
        OFFSET 0  -- a fence: else Postgres would build each item again wherever its name stands
    ) i
    ORDER BY i._n
) p;

-- name: personal_way
(SELECT {raw} FROM "{table}" r WHERE {personal} AND {common} ORDER BY {order} LIMIT {ceiling})

-- name: team_way
SELECT r.* FROM ({teams}) t CROSS JOIN LATERAL
    (SELECT {raw} FROM "{table}" r WHERE r.team_id = t.team_id AND {common} ORDER BY {order} LIMIT {ceiling}) r

-- name: items
SELECT {json} AS item, r."{sort}"::text AS value, r.id::text AS id
FROM (
    SELECT r.*, row_number() OVER w AS _n, 6 * sum({weight}) OVER w AS _bytes
    FROM ({ways}) r WINDOW w AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)
    ORDER BY {order} LIMIT {limit}
) r
WHERE r._n = 1 OR r._bytes <= {budget}
ORDER BY r._n;

-- name: get
SELECT (SELECT row_to_json(i)::text FROM (SELECT {item}) i) AS item, r.version
FROM "{table}" r WHERE r.id = $1 AND {visible};

-- name: survey
SELECT count(*) AS rows, coalesce(array_agg(v.hash) FILTER (WHERE v.hash = ANY($1::text[])), '{{}}') AS known
FROM (SELECT encode(sha256(convert_to(r.id::text, 'UTF8')), 'hex') AS hash FROM "{table}" r WHERE {visible}) v;

-- name: facts
SELECT r.owner_id = $2 AS own, r.team_id, r.version,
       EXISTS (SELECT FROM memberships m WHERE m.team_id = r.team_id AND m.user_id = $2) AS member,
       ({visible}) AS visible
FROM "{table}" r WHERE r.id = $1;

-- name: lock
SELECT r.version, r.owner_id, r.team_id, row_to_json(f)::text AS fields
FROM "{table}" r CROSS JOIN LATERAL (SELECT {item}) f
WHERE r.id = $1 AND {visible} FOR UPDATE OF r;

-- name: lock_version
SELECT r.version FROM "{table}" r WHERE r.id = $1 AND {visible} FOR UPDATE OF r;

-- name: delete
DELETE FROM "{table}" WHERE id = $1;

-- name: may_hold
SELECT {visible} FROM (SELECT $1::uuid AS id, $2::uuid AS owner_id, $3::uuid AS team_id) r;

-- name: create
INSERT INTO "{table}" AS r (id, owner_id, team_id, external_id{fields})
SELECT c.id, c.owner_id, c.team_id, $3::text{new_fields}
FROM (SELECT gen_random_uuid() AS id, $1::uuid AS owner_id, $2::uuid AS team_id) c
CROSS JOIN jsonb_populate_record(NULL::"{table}", $4::text::jsonb) n
WHERE {visible}
RETURNING (SELECT row_to_json(i)::text FROM (SELECT {item}) i) AS item, r.version;

-- name: update
UPDATE "{table}" AS r
SET {changes}version = r.version + 1, updated_at = now()
FROM jsonb_populate_record(NULL::"{table}", $2::text::jsonb) n
WHERE r.id = $1
RETURNING (SELECT row_to_json(i)::text FROM (SELECT {item}) i) AS item, r.version;

-- name: store
INSERT INTO "{table}" AS r (owner_id, team_id, external_id{fields})
SELECT $1::uuid, $2::uuid, n.external_id{new_fields}
FROM jsonb_populate_recordset(NULL::"{table}", $3::text::jsonb) n
ON CONFLICT ((coalesce(team_id, owner_id)), external_id) WHERE external_id IS NOT NULL
DO UPDATE SET {changes}, version = r.version + 1, updated_at = now()
WHERE ({old}) IS DISTINCT FROM ({excluded})
RETURNING xmax = 0 AS created;
