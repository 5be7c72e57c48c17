-- name: state
SELECT * FROM mosaic.peer_wall($1)

-- name: lock
SELECT pg_advisory_xact_lock($1)

-- name: create_role
CREATE ROLE "{role}" NOLOGIN

-- name: join_role
GRANT "{role}" TO CURRENT_USER

-- name: open
REVOKE ALL ON ALL TABLES IN SCHEMA mosaic FROM "{role}";
GRANT USAGE ON SCHEMA mosaic TO "{role}";
GRANT EXECUTE ON FUNCTION mosaic.peer_reach(text), mosaic.peer_personal(text), mosaic.peer_teams(text),
    mosaic.peer_subject() TO "{role}";
GRANT SELECT (team_id, user_id) ON mosaic.memberships TO "{role}"

-- name: wall_in
SELECT wall_in(name) FROM unnest($1::text[]) name WHERE to_regclass(format('mosaic.%I', name)) IS NOT NULL

-- name: open_table
GRANT SELECT ON mosaic."{table}" TO "{role}"

-- name: tables
SELECT c.relname::text AS name FROM pg_class c
WHERE c.relnamespace = to_regnamespace('mosaic') AND c.relkind IN ('r', 'p', 'v')
  AND c.relname::text IN (SELECT name || kind FROM unnest($1::text[]) name, unnest('{"",_vectors}'::text[]) kind)

-- name: use_the_index
-- Else a search under row-level security could not use its index: Postgres lets a condition go before a policy only
-- if it is known to give nothing away, and @@ and && are not marked so, though neither fails on a value nor shows one.
ALTER FUNCTION pg_catalog.ts_match_vq(tsvector, tsquery) LEAKPROOF;
ALTER FUNCTION pg_catalog.arrayoverlap(anyarray, anyarray) LEAKPROOF

-- name: as_grant
SELECT s.* FROM (SELECT set_config('mosaic.grant', {grant}, true)) i (who)
CROSS JOIN LATERAL (SELECT s.* FROM (
{statement}
) s WHERE i.who IS NOT NULL OFFSET 0) s
