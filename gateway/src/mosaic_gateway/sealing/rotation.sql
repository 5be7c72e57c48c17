-- Braces are filled with identifiers that were checked or come from the catalogue, never with values.
-- An envelope: magic (7 bytes), length of the key id (1 byte), key id, …

-- name: try_lock
SELECT pg_try_advisory_lock($1)

-- name: bytea_columns
SELECT c.relname AS "table", a.attname AS "column"
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND a.atttypid = 'bytea'::regtype AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY 1, 2

-- name: count
SELECT CASE WHEN substring({column} FROM 1 FOR 7) = $1 AND length({column}) > 8
            THEN substring({column} FROM 9 FOR get_byte({column}, 7)) END AS key,
       count(*) AS envelopes
FROM {table} WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY 1

-- name: stale
SELECT {key} AS key, {column} AS sealed FROM {table}
WHERE ({key} > $1 OR $1 IS NULL AND {key} IS NOT NULL) AND substring({column} FROM 1 FOR $3) <> $2
ORDER BY {key} LIMIT $4

-- name: swap
UPDATE {table} SET {column} = $2 WHERE {key} = $1 AND {column} = $3
