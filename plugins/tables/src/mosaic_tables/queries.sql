-- name: relation
SELECT c.oid::bigint AS oid, c.relkind::text AS kind, format('%I.%I', n.nspname, c.relname) AS quoted,
       quote_ident(n.nspname) AS schema, has_schema_privilege(n.oid, 'USAGE') AS reachable,
       quote_ident(current_user) AS role, c.relrowsecurity AND NOT row_security_active(c.oid) AS unguarded,
       (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS above_policies, c.relkind = 'p' OR pg_relation_size(c.oid) > 500000 AS large
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')

-- name: columns
SELECT a.attname::text AS name, a.attnum::int AS number, quote_ident(a.attname) AS quoted,
       format_type(a.atttypid, a.atttypmod) AS shown, a.attnotnull AS filled,
       has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS readable,
       coalesce((SELECT c.collisdeterministic FROM pg_collation c WHERE c.oid = a.attcollation), true) AS exact,
       CASE WHEN t.typtype = 'e' THEN 'enum'
            WHEN t.oid < 16384 OR t.typname = 'citext' THEN t.typname::text ELSE '' END AS type,
       CASE WHEN t.typname = 'varchar' AND b.modifier > 4 THEN b.modifier - 4 END AS length,
       EXISTS (
           SELECT FROM pg_index i
           WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
             AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) AS unique
FROM pg_attribute a
CROSS JOIN LATERAL (
    WITH RECURSIVE base (type, modifier, depth) AS (
        SELECT a.atttypid, a.atttypmod, 0
        UNION ALL
        SELECT t.typbasetype, t.typtypmod, b.depth + 1 FROM base b JOIN pg_type t ON t.oid = b.type AND t.typtype = 'd'
    )
    SELECT type, modifier FROM base ORDER BY depth DESC LIMIT 1
) b
JOIN pg_type t ON t.oid = b.type
WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped

-- name: make_view
SELECT make_view($1, $2)

-- name: state
SELECT oid IS NOT NULL AS there, obj_description(oid, 'pg_class') = 'made from ' || md5($2 || current_user) AS same
FROM to_regclass(format('mosaic.%I', $1::text)) AS oid

-- name: as_without_tables
SELECT set_config('enable_seqscan', 'off', true)

-- name: searches_use_indexes
SELECT proleakproof FROM pg_proc WHERE oid = 'ts_match_vq(tsvector, tsquery)'::regprocedure
