-- The second wall around rows. Peers are answered through a role of its own, <owner>_peer, which sees the tables of
-- resources only through their policies. A policy asks nothing of the statement but which grant it is for (the
-- setting mosaic.grant), and looks up here what that grant opens at this moment. No grant: no rows.

-- The subject of a grant in force, and its scope. Nobody's, until the component that keeps grants puts its own
-- function in the place of this one.
CREATE FUNCTION granted(grant_id uuid) RETURNS TABLE (subject uuid, scope jsonb)
LANGUAGE sql STABLE AS 'SELECT NULL::uuid, NULL::jsonb WHERE false';

CREATE FUNCTION peer_grant() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('mosaic.grant', true), '')::uuid
$$;

-- What the grant of this statement opens of a resource: whose personal rows, which teams' rows, and which single
-- rows it withholds. No row: nothing at all, as for a scope with a part that is not known here.
CREATE FUNCTION peer_reach(resource text) RETURNS TABLE (personal uuid, teams uuid[], withheld uuid[])
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path = mosaic, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT CASE WHEN g.scope -> 'include_personal' = 'true' THEN g.subject END,
           ARRAY(SELECT m.team_id FROM memberships m
                 WHERE m.user_id = g.subject
                   AND (g.scope -> 'include_teams' = '"all"' OR g.scope -> 'include_teams' @> to_jsonb(m.team_id::text)
                        AND jsonb_typeof(g.scope -> 'include_teams') = 'array')),
           ARRAY(SELECT split_part(e, '/', 2)::uuid FROM jsonb_array_elements_text(g.scope -> 'excluded_resources') e
                 WHERE e LIKE resource || '/%')
    FROM granted(peer_grant()) g
    WHERE g.scope - '{resources,excluded_resources,include_teams,include_personal,fields,max_rows_per_query,'
                    'max_rows_per_day,expires_at}'::text[] = '{}'
      AND jsonb_typeof(g.scope -> 'resources') = 'array' AND g.scope -> 'resources' ? resource
      AND jsonb_typeof(g.scope -> 'excluded_resources') = 'array'
      AND NOT g.scope -> 'excluded_resources' ? resource
      AND NOT EXISTS (SELECT FROM jsonb_array_elements(g.scope -> 'excluded_resources') e
                      WHERE jsonb_typeof(e) <> 'string'
                         OR e #>> '{}' !~ '^[a-z][a-z0-9_]*(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$');
END
$$;

CREATE FUNCTION peer_subject() RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = mosaic, pg_temp AS $$
BEGIN
    RETURN (SELECT g.subject FROM granted(peer_grant()) g);
END
$$;

REVOKE ALL ON FUNCTION granted(uuid), peer_grant(), peer_reach(text), peer_subject() FROM PUBLIC;

-- The teams of the subject, and nobody else's: the first wall asks for them in each statement.
ALTER TABLE memberships ENABLE ROW LEVEL SECURITY;
CREATE POLICY peers ON memberships FOR SELECT USING (user_id = (SELECT peer_subject()));

-- Puts the wall around a resource: at each start, for each one that is shared, unless it stands. The function is
-- asked once for each scan, not for each row.
CREATE FUNCTION wall_in(resource text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', resource);
    EXECUTE format('DROP POLICY IF EXISTS peers ON %I', resource);
    EXECUTE format($ddl$
        CREATE POLICY peers ON %1$I FOR SELECT USING (EXISTS (
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

-- How the wall stands: whether the role is there, bound by policies and this one's to take (usable); whether it has
-- its rights, on tables with policies only, and if resources are given exactly on theirs (complete); who may mend
-- that; and whether a search may use its index before a policy is asked (indexed). In plpgsql, which asks for no schema
-- before it is called: migrate-tier makes it in another one.
CREATE FUNCTION peer_wall(
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
                   SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'peers') AS walled
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
