-- The wall of 0004 asks peer_reach again for each row. Most grants withhold no single row, and then it is enough to know
-- once for each scan whose personal rows a grant opens, and which teams' rows.

-- The grant of this statement, if it reaches a resource and withholds nothing.
CREATE FUNCTION granted_plainly(resource text) RETURNS TABLE (subject uuid, scope jsonb)
LANGUAGE sql STABLE AS $$
    SELECT g.subject, g.scope FROM granted(peer_grant()) g
    WHERE g.scope - '{resources,excluded_resources,include_teams,include_personal,fields,max_rows_per_query,'
                    'max_rows_per_day,expires_at}'::text[] = '{}'
      AND jsonb_typeof(g.scope -> 'resources') = 'array' AND g.scope -> 'resources' ? resource
      AND g.scope -> 'excluded_resources' = '[]'
$$;

-- Whose personal rows it opens, and which teams' rows. NULL: none, or it is not as plain as that.
CREATE FUNCTION peer_personal(resource text) RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = mosaic, pg_temp AS $$
BEGIN
    RETURN (SELECT g.subject FROM granted_plainly(resource) g WHERE g.scope -> 'include_personal' = 'true');
END
$$;

CREATE FUNCTION peer_teams(resource text) RETURNS uuid[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = mosaic, pg_temp AS $$
BEGIN
    RETURN (
        SELECT array_agg(m.team_id)
        FROM granted_plainly(resource) g JOIN memberships m ON m.user_id = g.subject
        WHERE g.scope -> 'include_teams' = '"all"'
           OR g.scope -> 'include_teams' @> to_jsonb(m.team_id::text)
              AND jsonb_typeof(g.scope -> 'include_teams') = 'array');
END
$$;

REVOKE ALL ON FUNCTION granted_plainly(text), peer_personal(text), peer_teams(text) FROM PUBLIC;

-- As in 0004, with the short way before the long one. Each of the two in brackets is asked at most once for each scan.
CREATE OR REPLACE FUNCTION wall_in_table(resource text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', resource);
    EXECUTE format('DROP POLICY IF EXISTS peers ON %I', resource);
    EXECUTE format($ddl$
        CREATE POLICY peers ON %1$I FOR SELECT USING (
            CASE WHEN team_id IS NULL THEN owner_id = (SELECT peer_personal(%1$L))
                 ELSE team_id = ANY ((SELECT peer_teams(%1$L))::uuid[]) END
            OR EXISTS (
                SELECT FROM peer_reach(%1$L) p
                WHERE CASE WHEN %1$I.team_id IS NULL THEN %1$I.owner_id = p.personal
                           ELSE %1$I.team_id = ANY (p.teams) END
                  AND %1$I.id <> ALL (p.withheld)))
    $ddl$, resource);
    IF to_regclass(format('%I', resource || '_vectors')) IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', resource || '_vectors');
        EXECUTE format('DROP POLICY IF EXISTS peers ON %I', resource || '_vectors');
        EXECUTE format('CREATE POLICY peers ON %1$I FOR SELECT USING (EXISTS ('
                       'SELECT FROM %2$I r WHERE r.id = %1$I.id))', resource || '_vectors', resource);
    END IF;
END
$$;

-- As in 0011; the role needs these functions too. Where it may not call them yet, the next start builds the wall anew.
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
           coalesce((SELECT bool_and(has_function_privilege(peer.oid, f, 'EXECUTE')) FROM peer, unnest(
                        '{peer_reach(text),peer_personal(text),peer_teams(text)}'::text[]) f), false)
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
