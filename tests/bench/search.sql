-- name: people
INSERT INTO users (username) SELECT 'user' || n FROM generate_series(1, 50) n;
INSERT INTO teams (slug) SELECT 'team' || n FROM generate_series(1, 50) n;
INSERT INTO memberships (team_id, user_id)
SELECT t.id, u.id FROM teams t JOIN users u ON substr(t.slug, 5) = substr(u.username, 5);
CREATE TABLE grants_on_record (id uuid PRIMARY KEY, subject uuid NOT NULL, scope jsonb NOT NULL);
CREATE OR REPLACE FUNCTION granted(grant_id uuid) RETURNS TABLE (subject uuid, scope jsonb)
LANGUAGE sql STABLE AS 'SELECT g.subject, g.scope FROM grants_on_record g WHERE g.id = grant_id'

-- name: grant
INSERT INTO grants_on_record VALUES ($1, $2, $3::text::jsonb)

-- name: tasks
-- Team 1 (a) has half of the rows, team 2 (b) a fiftieth, the others (c) share the rest. Each of the three says its own
-- words, so that with the viewer's conditions and without the same rows are found: of a and b a rare word in 20 rows of
-- 100,000, a common one in all their rows; of a a phrase, and the words the other way round, and 7 words that begin alike.
INSERT INTO tasks (owner_id, team_id, title, body, created_at)
SELECT (SELECT id FROM users WHERE username = 'user1'),
       (SELECT array_agg(id ORDER BY length(slug), slug) FROM teams)
           [CASE whose WHEN 'a' THEN 1 WHEN 'b' THEN 2 ELSE 3 + n % 48 END],
       'Task ' || n || ' ' || whose || 'common' || CASE WHEN n % 5000 < 2 THEN ' ' || whose || 'rare' ELSE '' END
           || CASE n % 400 WHEN 0 THEN ' green light' WHEN 200 THEN ' light green' ELSE '' END
           || CASE n % 100 WHEN 0 THEN ' begin' || n % 7 ELSE '' END,
       repeat('word' || n % 1000 || ' ', 20), now() - n * interval '1 second'
FROM (SELECT n, CASE WHEN n % 2 = 0 THEN 'a' WHEN n % 50 = 1 THEN 'b' ELSE 'c' END AS whose
      FROM generate_series(1, $1::bigint) n) n

-- name: plain
-- The same rows with their words as they are, and an index of these alone: the search by hand reads here.
CREATE TABLE plain_tasks (LIKE tasks);
ALTER TABLE plain_tasks DROP COLUMN search_vector, ADD PRIMARY KEY (id), ADD COLUMN search_vector tsvector
    GENERATED ALWAYS AS (setweight(to_tsvector('english', title), 'A') || setweight(to_tsvector('english', body), 'B'))
    STORED;
INSERT INTO plain_tasks ({columns}) SELECT {columns} FROM tasks;
CREATE INDEX ON plain_tasks USING gin (search_vector);

-- name: vectors
-- Each near one of a hundred others, so that there is a nearest.
UPDATE tasks_vectors SET embedding = ARRAY(
    SELECT sin(d * (1 + hashtext(id::text) % 100)) + 0.2 * random() FROM generate_series(1, 384) d)::vector

-- name: search
-- What one would write by hand: all that the gateway's own does but look for whose the rows are.
WITH q AS MATERIALIZED (SELECT search_query('english', $1::text, $2::text[]) AS query)
SELECT coalesce(string_agg(p.item, ','), '') AS items, count(*) AS found
FROM (SELECT (SELECT row_to_json(i)::text FROM (SELECT {item}, r.rank) i) AS item FROM ({found}) r) p

-- name: text
SELECT r.* FROM (
    SELECT r.*, ts_rank(r.search_vector, (SELECT query FROM q)) AS rank
    FROM plain_tasks r WHERE r.search_vector @@ (SELECT query FROM q)
    ORDER BY r.created_at DESC, r.id DESC LIMIT 5000
) r ORDER BY r.rank DESC, r.created_at DESC, r.id DESC LIMIT 50

-- name: vector
SELECT r.*, 1 - v.distance AS rank FROM (
    SELECT v.id, v.embedding <=> $3::text::vector AS distance FROM tasks_vectors v
    ORDER BY v.embedding <=> $3::text::vector LIMIT 50
) v JOIN plain_tasks r ON r.id = v.id ORDER BY v.distance

-- name: hybrid
SELECT r.*, f.rank FROM (
    SELECT f.id, sum(1.0 / (60 + f.place)) AS rank FROM (
        SELECT id, row_number() OVER (ORDER BY rank DESC, created_at DESC, id DESC) AS place FROM ({text}) r
        UNION ALL
        SELECT id, row_number() OVER (ORDER BY rank DESC, created_at DESC, id DESC) AS place FROM ({vector}) r
    ) f GROUP BY f.id ORDER BY rank DESC LIMIT 50
) f JOIN plain_tasks r ON r.id = f.id ORDER BY f.rank DESC, r.created_at DESC, r.id DESC
