-- Whose a row is, in the search index, is told by CASE where it was told by coalesce. Of a condition with coalesce
-- Postgres does not know that it gives nothing away (contain_leaked_vars has no case for it): behind row-level security
-- it came after the policy, and a peer's search read everybody's matches.
CREATE OR REPLACE FUNCTION make_search_index(table_name text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP INDEX IF EXISTS %I', table_name || '_search_idx');
    EXECUTE format('CREATE INDEX %I ON %I USING gin'
                   ' ((ARRAY[CASE WHEN team_id IS NULL THEN owner_id ELSE team_id END]), search_vector)',
                   table_name || '_search_idx', table_name);
END
$$;

-- Those that are there, of further languages as well, under their names.
DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT i.indexrelid::regclass AS name, pg_get_indexdef(i.indexrelid) AS made
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE c.relnamespace = current_schema()::regnamespace
          AND pg_get_indexdef(i.indexrelid) LIKE '%USING gin ((ARRAY[COALESCE(team\_id, owner\_id)])%'
    LOOP
        EXECUTE format('DROP INDEX %s', old.name);
        EXECUTE replace(old.made, 'COALESCE(team_id, owner_id)',
                        'CASE WHEN team_id IS NULL THEN owner_id ELSE team_id END');
    END LOOP;
END
$$;

-- A search by meaning comes from the nearest vectors to their rows, of which it needs a few dozen. OFFSET keeps Postgres
-- at asking for each of those: without, the policy read all rows that the grant opens, at each search.
CREATE OR REPLACE FUNCTION wall_in_vectors(resource text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    vectors text := resource || '_vectors';
BEGIN
    IF to_regclass(format('%I', vectors)) IS NOT NULL THEN
        EXECUTE format('DROP POLICY IF EXISTS peers ON %I', vectors);
        EXECUTE format('CREATE POLICY peers ON %1$I FOR SELECT USING (EXISTS ('
                       'SELECT FROM %2$I r WHERE r.id = %1$I.id OFFSET 0))', vectors, resource);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION wall_in(resource text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM made_views() v WHERE v.name = resource) THEN
        PERFORM wall_in_table(resource);
        PERFORM wall_in_vectors(resource);
    END IF;
END
$$;

SELECT wall_in_vectors(left(c.relname, -8))
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
WHERE c.relnamespace = current_schema()::regnamespace AND p.polname = 'peers' AND c.relname LIKE '%\_vectors'
  AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'owner_id');  -- no resource
