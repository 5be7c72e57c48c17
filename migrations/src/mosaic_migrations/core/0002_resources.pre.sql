-- A plugin's migration creates a table with the fields of its model and then calls make_resource: the
-- standard columns, their checks and the indexes that the gateway's queries rely on follow from here.
--
-- Text search uses the 'english' configuration: plurals and verb forms find each other. Text in another
-- language is still found, because query and row pass through the same stemmer; only English stop words
-- are lost. ('simple' would keep them, and find no plural.)
--
-- A tsvector holds at most 1 MB, and one text must not be refused for being long: the first 100,000
-- characters of a column are indexed, which stays below that even in four-byte characters.
CREATE FUNCTION make_resource(table_name text, search_columns text[] DEFAULT '{}') RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    vector text;
BEGIN
    IF table_name !~ '^[a-z][a-z0-9_]{0,39}$' THEN  -- so that the names of its indexes fit too
        RAISE EXCEPTION 'resource name % is not 1 to 40 lower-case letters, digits or _', table_name;
    END IF;
    EXECUTE format($ddl$
        ALTER TABLE %1$I
            ADD COLUMN id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            ADD COLUMN owner_id    uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
            ADD COLUMN team_id     uuid REFERENCES teams ON DELETE RESTRICT,
            ADD COLUMN external_id text CHECK (length(external_id) BETWEEN 1 AND 500),
            ADD COLUMN created_at  timestamptz NOT NULL DEFAULT now(),
            ADD COLUMN updated_at  timestamptz NOT NULL DEFAULT now(),
            ADD COLUMN version     bigint NOT NULL DEFAULT 1 CHECK (version > 0)
    $ddl$, table_name);

    -- The two ways to a visible row, newest first: mine, or my team's.
    EXECUTE format('CREATE INDEX %I ON %I (owner_id, created_at, id) WHERE team_id IS NULL',
                   table_name || '_personal_idx', table_name);
    EXECUTE format('CREATE INDEX %I ON %I (team_id, created_at, id) WHERE team_id IS NOT NULL',
                   table_name || '_team_idx', table_name);
    -- Imports find their earlier rows by this.
    EXECUTE format('CREATE UNIQUE INDEX %I ON %I ((coalesce(team_id, owner_id)), external_id)'
                   ' WHERE external_id IS NOT NULL', table_name || '_external_id_key', table_name);

    -- The first search column (a title) weighs more than the others.
    SELECT string_agg(format('setweight(to_tsvector(''english'', coalesce(left(%I, 100000), '''')), %L)',
                             name, CASE position WHEN 1 THEN 'A' ELSE 'B' END), ' || ' ORDER BY position)
      INTO vector
      FROM unnest(search_columns) WITH ORDINALITY AS s (name, position);
    IF vector IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %I ADD COLUMN search_vector tsvector GENERATED ALWAYS AS (%s) STORED',
                       table_name, vector);
        EXECUTE format('CREATE INDEX %I ON %I USING gin (search_vector)',
                       table_name || '_search_idx', table_name);
    END IF;
END
$$;
