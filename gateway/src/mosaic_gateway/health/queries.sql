-- name: facts
SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version,
       pg_is_in_recovery() AS replica, current_setting('transaction_read_only')::bool AS read_only,
       extract(epoch FROM clock_timestamp())::float8 AS clock

-- name: vector
SELECT (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS available,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS installed,
       to_regtype('vector') IS NOT NULL AS visible,
       current_setting('server_version_num')::int / 10000 AS major

-- name: try_vector
CREATE EXTENSION vector SCHEMA public

-- name: schema
SELECT component, max(version) AS version FROM mosaic.migrations GROUP BY component ORDER BY component

-- name: public_is_open
SELECT has_schema_privilege('public', oid, 'CREATE') FROM pg_namespace WHERE nspname = 'public'
