-- name: configure
SELECT set_config(name, value, false) FROM (VALUES
    ('application_name', 'mosaic migrate-tier'), ('search_path', $1),  -- public: others may have laid functions out there
    ('timezone', 'UTC'), ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'), ('extra_float_digits', '3'),
    ('bytea_output', 'hex'), ('row_security', 'off'), ('jit', 'off'), ('default_transaction_read_only', 'off'),
    ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0'), ('lock_timeout', '10s'),
    ('maintenance_work_mem', '256MB'),
    -- Lost with the chunk's own checkpoint or not at all; the cut-over itself waits for the disk.
    ('synchronous_commit', 'off')
) AS settings (name, value)

-- name: notice_a_dead_client
SELECT set_config('client_connection_check_interval', '1s', false)

-- name: about
SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS version_text,
       pg_is_in_recovery() AS replica, pg_encoding_to_char(encoding) AS encoding, current_user AS role,
       (SELECT system_identifier FROM pg_control_system()) || '/' || datname AS identity, datname AS name,
       has_database_privilege(current_database(), 'CREATE') AS may_create,
       (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS encrypted
FROM pg_database WHERE datname = current_database()

-- name: users
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'mosaic' AND pid <> pg_backend_pid()

-- name: try_lock
SELECT pg_try_advisory_lock($1)

-- name: try_lock_shared
SELECT pg_try_advisory_lock_shared($1)

-- name: unlock
SELECT pg_advisory_unlock($1)

-- name: schema_owner
-- Exactly: a superuser has every role, and must not run what others lay out.
SELECT nspowner = quote_ident(current_user)::regrole FROM pg_namespace WHERE nspname = $1

-- name: relations
SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace($1)

-- name: uncopyable
SELECT array_agg(relname::text) FROM pg_class
WHERE relnamespace = to_regnamespace($1) AND relkind NOT IN ('r', 'i', 'S', 'v', 'c', 't', 'p', 'I')

-- name: tables
-- Those that hold rows. Of a partition, what makes it one, and its triggers.
SELECT c.relname AS name, pg_table_size(c.oid) AS bytes,
       pg_relation_size(c.oid) / current_setting('block_size')::int AS pages,
       p.relname AS parent, pg_get_expr(c.relpartbound, c.oid) AS bound,
       CASE WHEN c.relispartition THEN ARRAY(
           SELECT pg_get_triggerdef(t.oid, true) FROM pg_trigger t
           WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgparentid = 0 ORDER BY t.tgname)
       END AS triggers
FROM pg_class c
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND c.relispartition
LEFT JOIN pg_class p ON p.oid = i.inhparent
WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r' ORDER BY c.relname

-- name: columns
-- Types whose hash tells every value from every other go in as they are. Enums, domains, arrays, ranges and
-- composites hash by the OIDs of a database or leave something out, so their text does; the others hash values
-- that differ in form alike (1.0 and 1.00), or not at all (json, vector), so their binary form does.
-- Arrays and composites of types that a database made itself carry OIDs in binary COPY too: text for the table.
SELECT c.relname AS table_name, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       t.typcategory IN ('A', 'C', 'R') AND t.oid >= 16384 AS only_text,
       CASE
           WHEN t.oid = ANY ('{25,1043}') THEN format('%I COLLATE "C"', a.attname)
           WHEN t.oid = ANY ('{16,17,18,19,20,21,23,1082,1083,1114,1184,2950}') THEN format('%I', a.attname)
           WHEN t.typcategory IN ('A', 'C', 'E', 'R') OR t.typtype = 'd' OR t.typsend = 0
           THEN format('%I::text', a.attname)
           ELSE format('%s(%I)', t.typsend, a.attname)
       END AS hashed
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r'
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY c.relname, a.attnum

-- name: views
-- And what they read that is not moved with them.
SELECT c.relname::text AS name, string_agg(DISTINCT format('%I.%I', n.nspname, t.relname), ', ') AS reads
FROM pg_class c
JOIN pg_rewrite w ON w.ev_class = c.oid
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
JOIN pg_class t ON t.oid = d.refobjid AND t.relnamespace <> c.relnamespace
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'v'
GROUP BY c.relname ORDER BY c.relname

-- name: digest
SELECT count(*), coalesce(sum(hash_record_extended(r, 1)), 0), coalesce(sum(hash_record_extended(r, 2)), 0)
FROM ($rows) AS each

-- name: sequences
SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind = 'S' ORDER BY relname

-- name: components
SELECT DISTINCT component FROM mosaic.migrations

-- name: applied
SELECT component, version, phase, sha256 FROM mosaic.migrations

-- name: has_migrations
SELECT to_regclass('mosaic.migrations') IS NOT NULL

-- name: begin_snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: export_snapshot
SELECT pg_export_snapshot()

-- name: public_is_open
SELECT has_schema_privilege('public', oid, 'CREATE') FROM pg_namespace WHERE nspname = 'public'

-- name: is_ours
SELECT EXISTS (
    SELECT FROM pg_class
    WHERE oid = to_regclass($1) AND relkind = 'r' AND relowner = quote_ident(current_user)::regrole)

-- name: create_job
CREATE SCHEMA mosaic_transfer;
CREATE SCHEMA mosaic_incoming;  -- here, so that it is nobody else's
CREATE TABLE mosaic_transfer.job (source text NOT NULL, structure text);  -- structure: known once prepared
CREATE TABLE mosaic_transfer.chunks (
    relation text NOT NULL, first_page bigint NOT NULL, end_page bigint,
    rows bigint, low numeric, high numeric,  -- set with the rows themselves
    PRIMARY KEY (relation, first_page)
);
CREATE TABLE mosaic_transfer.steps (
    id integer PRIMARY KEY, phase smallint NOT NULL, relation text NOT NULL,
    method text,  -- of an index
    statement text NOT NULL, done boolean NOT NULL DEFAULT false
)

-- name: job
SELECT source, structure FROM mosaic_transfer.job

-- name: add_job
INSERT INTO mosaic_transfer.job (source) VALUES ($1)

-- name: prepared
UPDATE mosaic_transfer.job SET structure = $1

-- name: add_chunk
INSERT INTO mosaic_transfer.chunks (relation, first_page, end_page) VALUES ($1, $2, $3)

-- name: chunks
SELECT relation, first_page, end_page, rows, low, high FROM mosaic_transfer.chunks ORDER BY relation, first_page

-- name: chunk_done
UPDATE mosaic_transfer.chunks SET rows = $3, low = $4, high = $5
WHERE relation = $1 AND first_page = $2 AND rows IS NULL

-- name: add_step
INSERT INTO mosaic_transfer.steps (id, phase, relation, method, statement) VALUES ($1, $2, $3, $4, $5)

-- name: steps
SELECT id, relation, method, statement FROM mosaic_transfer.steps WHERE phase = $1 AND NOT done ORDER BY id

-- name: step_done
UPDATE mosaic_transfer.steps SET done = true WHERE id = $1

-- name: structure
-- Indexes, constraints and triggers as text: what has to be there again at the end.
SELECT coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), '') FROM (
    SELECT pg_get_indexdef(i.indexrelid) || i.indisvalid::text
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = to_regnamespace($1)
    UNION ALL
    SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated)
    FROM pg_constraint WHERE connamespace = to_regnamespace($1) AND conrelid <> 0
    UNION ALL
    SELECT pg_get_triggerdef(t.oid) || t.tgenabled::text
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = to_regnamespace($1) AND NOT t.tgisinternal
) AS lines (line)

-- name: later
-- What is taken off before the rows come in, and how it is put back: 1 indexes, 2 the constraints on them,
-- 3 foreign keys, 4 triggers, 5 partitions: apart, each is a table like others. Their whole has no rows itself.
SELECT phase, relation, method, take_off, put_back FROM (
    SELECT 1 AS phase, c.relname AS relation, 'btree' AS method, NULL AS take_off,
           pg_get_indexdef(i.indexrelid) AS put_back
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u')
    WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r'
    UNION ALL
    SELECT 1, c.relname, am.amname, format('DROP INDEX %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am am ON am.oid = x.relam
    WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r' AND NOT EXISTS (
        SELECT FROM pg_constraint k
        WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT CASE contype WHEN 'f' THEN 3 ELSE 2 END, c.relname, NULL,
           format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
           format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
                  CASE contype
                      WHEN 'p' THEN format('PRIMARY KEY USING INDEX %I', conname)
                      WHEN 'u' THEN format('UNIQUE USING INDEX %I', conname)
                      ELSE pg_get_constraintdef(k.oid)
                  END
                  || CASE WHEN condeferrable AND contype IN ('p', 'u') THEN ' DEFERRABLE' ELSE '' END
                  || CASE WHEN condeferred AND contype IN ('p', 'u') THEN ' INITIALLY DEFERRED' ELSE '' END)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE connamespace = to_regnamespace($1) AND contype IN ('p', 'u', 'x', 'f') AND c.relkind = 'r'
    UNION ALL
    SELECT 4, c.relname, NULL, format('ALTER TABLE %s DISABLE TRIGGER %I', t.tgrelid::regclass, t.tgname),
           format('ALTER TABLE %s ENABLE %s TRIGGER %I', t.tgrelid::regclass,
                  CASE t.tgenabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' ELSE '' END, t.tgname)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = to_regnamespace($1) AND NOT t.tgisinternal AND t.tgenabled <> 'D'
    UNION ALL
    SELECT 5, c.relname, NULL, format('ALTER TABLE %s DETACH PARTITION %s', i.inhparent::regclass, c.oid::regclass),
           format('ALTER TABLE %s ATTACH PARTITION %s %s', i.inhparent::regclass, c.oid::regclass,
                  pg_get_expr(c.relpartbound, c.oid))
    FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r' AND c.relispartition
) AS each
ORDER BY phase DESC, put_back  -- partitions come apart first, and foreign keys off before the keys they point to

-- name: set_sequence
SELECT setval(to_regclass($1), $2, $3)
