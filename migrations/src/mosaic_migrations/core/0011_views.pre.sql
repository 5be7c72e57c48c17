-- A resource may also be a view of rows that are kept elsewhere in this database. Its query gives the columns that
-- make_resource gives to tables; owner_id and team_id say whose each row is. Nothing is copied, and what the view reads
-- is not changed.

-- Such rows name their owners, and each is looked up.
CREATE INDEX users_name_idx ON users (username);

-- Those views: with the wall in them, and a barrier.
CREATE FUNCTION made_views() RETURNS TABLE (oid oid, name text)
LANGUAGE plpgsql STABLE SET search_path = mosaic, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT c.oid, c.relname::text FROM pg_class c
    WHERE c.relnamespace = to_regnamespace('mosaic') AND c.relkind = 'v'
      AND 'security_barrier=true' = ANY (c.reloptions)
      AND EXISTS (
          SELECT FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
          WHERE w.ev_class = c.oid
            AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = to_regprocedure('mosaic.peer_reach(text)'));
END
$$;

-- The wall of 0004 is built in: a policy of what the view reads would ask who owns the view, and not who asks. For
-- everybody but its owner the view shows what the grant of the statement opens, and so to all others nothing. No
-- condition from outside is tried on another row: a security barrier.
--
-- The comment says what a view was made from, so that nothing is done where it stands already.
CREATE FUNCTION make_view(resource text, query text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    stamp text := 'made from ' || md5(query || current_user);
BEGIN
    IF resource !~ '^[a-z][a-z0-9_]{0,39}$' THEN
        RAISE EXCEPTION 'resource name % is not 1 to 40 lower-case letters, digits or _', resource;
    END IF;
    IF NOT EXISTS (SELECT FROM made_views() v WHERE v.name = resource) THEN
        IF to_regclass(format('mosaic.%I', resource)) IS NOT NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'duplicate_table',
                MESSAGE = format('the gateway has something of its own that is called %s', resource);
        END IF;
    ELSIF obj_description(to_regclass(format('mosaic.%I', resource)), 'pg_class') = stamp THEN
        RETURN;
    ELSE
        EXECUTE format('DROP VIEW mosaic.%I', resource);
    END IF;
    EXECUTE format($ddl$
        CREATE VIEW mosaic.%1$I WITH (security_barrier) AS SELECT r.* FROM (%2$s) r
        WHERE current_user = %3$L OR EXISTS (
            SELECT FROM mosaic.peer_reach(%1$L) p
            WHERE CASE WHEN r.team_id IS NULL THEN r.owner_id = p.personal ELSE r.team_id = ANY (p.teams) END
              AND r.id <> ALL (p.withheld))
    $ddl$, resource, query, current_user);
    EXECUTE format('COMMENT ON VIEW mosaic.%I IS %L', resource, stamp);
END
$$;

-- What is no resource any more must not keep the tables that it read from being changed.
CREATE FUNCTION drop_views(others_than text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    view text;
BEGIN
    FOR view IN SELECT v.name FROM made_views() v WHERE v.name <> ALL (others_than) LOOP
        EXECUTE format('DROP VIEW mosaic.%I', view);
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION make_view(text, text), made_views(), drop_views(text[]) FROM PUBLIC;

-- As in 0004; a view has its wall in it.
ALTER FUNCTION wall_in(text) RENAME TO wall_in_table;

CREATE FUNCTION wall_in(resource text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM made_views() v WHERE v.name = resource) THEN
        PERFORM wall_in_table(resource);
    END IF;
END
$$;

-- As in 0004; a view that peers may read is walled if it was made by make_view.
CREATE OR REPLACE FUNCTION peer_wall(
    resources text[], OUT role text, OUT owner text, OUT usable boolean, OUT complete boolean, OUT may_create boolean,
    OUT superuser boolean, OUT indexed boolean)
LANGUAGE plpgsql STABLE SET search_path = mosaic, pg_temp AS $$
BEGIN
    WITH peer AS (
        SELECT oid, NOT rolsuper AND NOT rolbypassrls AS bound
        FROM pg_roles WHERE rolname = left(current_user, 58) || '_peer'),
    tables AS (
        SELECT c.oid, c.relname::text AS name,
               has_table_privilege(peer.oid, c.oid, 'SELECT') AS opened,
               c.relrowsecurity AND EXISTS (
                   SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'peers')
               OR c.oid IN (SELECT v.oid FROM made_views() v) AS walled
        FROM pg_class c, peer WHERE c.relnamespace = 'mosaic'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm'))
    SELECT left(current_user, 58) || '_peer', current_user::text,
           coalesce((SELECT bound AND pg_has_role(oid, 'MEMBER') FROM peer), false),
           coalesce((SELECT has_function_privilege(oid, 'peer_reach(text)', 'EXECUTE') FROM peer), false)
           AND NOT EXISTS (SELECT FROM tables WHERE opened AND NOT walled)
           AND NOT EXISTS (
               SELECT FROM tables WHERE resources IS NOT NULL AND opened IS DISTINCT FROM
                   (name = ANY (resources) OR name LIKE '%\_vectors' AND left(name, -8) = ANY (resources))),
           me.rolsuper OR me.rolcreaterole, me.rolsuper,
           (SELECT bool_and(proleakproof) FROM pg_proc
            WHERE oid IN ('ts_match_vq(tsvector, tsquery)'::regprocedure, 'arrayoverlap(anyarray, anyarray)'::regprocedure))
    INTO role, owner, usable, complete, may_create, superuser, indexed
    FROM pg_roles me WHERE me.rolname = current_user;
END
$$;
