-- What people type, as a query: words, "a phrase", or, -not (websearch_to_tsquery), and word*, the beginning of a
-- word. The gateway hands the latter over apart, each replaced by a stand-in: a word with digits is never stemmed.
CREATE FUNCTION search_query(config regconfig, words text, prefixes text[]) RETURNS tsquery
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    typed   text := websearch_to_tsquery(config, words);
    prefix  text;
    stemmed tsquery;
BEGIN
    FOR n IN 1 .. cardinality(prefixes) LOOP
        prefix := quote_literal(lower(prefixes[n])) || ':*';
        stemmed := to_tsquery(config, prefixes[n] || ':*');  -- empty for a stop word, and then left out
        IF numnode(stemmed) > 0 THEN
            prefix := prefix || ' | ' || stemmed;
        END IF;
        typed := replace(typed, quote_literal('mosaicprefix' || n), '( ' || prefix || ' )');
    END LOOP;
    RETURN typed::tsquery;
END
$$;

-- The search index also knows whose each row is: the personal rows of a user or the rows of a team. A search then
-- costs by the rows of the viewer and by the matches, whichever are fewer, and not by everybody's matches; else the
-- time of a search would tell how common a word is in rows of others. (An array, for GIN alone indexes no uuid.)
CREATE FUNCTION make_search_index(table_name text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP INDEX IF EXISTS %I', table_name || '_search_idx');
    EXECUTE format('CREATE INDEX %I ON %I USING gin ((ARRAY[coalesce(team_id, owner_id)]), search_vector)',
                   table_name || '_search_idx', table_name);
END
$$;

SELECT make_search_index(c.relname)
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
  AND (SELECT count(*) FROM pg_attribute a
       WHERE a.attrelid = c.oid AND a.attname IN ('owner_id', 'team_id', 'search_vector') AND NOT a.attisdropped) = 3;

ALTER FUNCTION make_resource(text, text[]) RENAME TO make_resource_table;

CREATE FUNCTION make_resource(table_name text, search_columns text[] DEFAULT '{}') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM make_resource_table(table_name, search_columns);
    IF search_columns <> '{}' THEN
        PERFORM make_search_index(table_name);
    END IF;
END
$$;

-- Every row of the resource has a row here. Without an embedding it waits for one: so do new rows, and those whose
-- text has changed, whose old vector goes at once. What a crash interrupts is still waiting afterwards.
CREATE OR REPLACE FUNCTION make_vectors(resource text, dimensions integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    vectors text := resource || '_vectors';
    columns text;
    changed text;
BEGIN
    IF to_regtype('vector') IS NULL THEN
        RAISE EXCEPTION 'make_vectors(%): there is no type vector here', resource
            USING HINT = 'Mark the migration set with needs_vector, and set storage.enable_vector.';
    END IF;
    IF dimensions NOT BETWEEN 1 AND 2000 THEN
        RAISE EXCEPTION 'make_vectors(%): % dimensions, and 1 to 2000 can be indexed', resource, dimensions;
    END IF;
    -- The search columns are those that search_vector is generated from.
    SELECT string_agg(format('%I', a.attname), ', '),
           string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', a.attname), ' OR ')
      INTO columns, changed
      FROM pg_attribute s
      JOIN pg_attrdef e ON e.adrelid = s.attrelid AND e.adnum = s.attnum
      JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = e.oid
                      AND d.refclassid = 'pg_class'::regclass AND d.refobjid = s.attrelid
      JOIN pg_attribute a ON a.attrelid = s.attrelid AND a.attnum = d.refobjsubid AND a.attnum <> s.attnum
     WHERE s.attrelid = format('%I', resource)::regclass AND s.attname = 'search_vector';
    IF columns IS NULL THEN
        RAISE EXCEPTION 'make_vectors(%): it was made without search columns', resource;
    END IF;
    EXECUTE format('CREATE TABLE %I (id uuid PRIMARY KEY REFERENCES %I ON DELETE CASCADE,'
                   ' embedding vector(%s))', vectors, resource, dimensions);
    EXECUTE format('ALTER TABLE %I ALTER embedding SET STORAGE PLAIN', vectors);
    EXECUTE format('INSERT INTO %I (id) SELECT id FROM %I', vectors, resource);
    EXECUTE format('CREATE INDEX %I ON %I USING hnsw (embedding vector_cosine_ops)'
                   ' WITH (m = 16, ef_construction = 64)', vectors || '_hnsw_idx', vectors);
    EXECUTE format('CREATE INDEX %I ON %I (id) WHERE embedding IS NULL', vectors || '_waiting_idx', vectors);
    EXECUTE format('CREATE TRIGGER vector_wanted AFTER INSERT ON %I'
                   ' FOR EACH ROW EXECUTE FUNCTION want_vector()', resource);
    EXECUTE format('CREATE TRIGGER vector_outdated AFTER UPDATE OF %s ON %I FOR EACH ROW WHEN (%s)'
                   ' EXECUTE FUNCTION want_vector()', columns, resource, changed);
END
$$;

CREATE FUNCTION want_vector() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %I.%I (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET embedding = NULL',
                   TG_TABLE_SCHEMA, TG_TABLE_NAME || '_vectors') USING NEW.id;
    RETURN NULL;
END
$$;

-- Which model the vectors of a resource are from: those of two models cannot be compared.
CREATE TABLE search_models (
    resource text PRIMARY KEY,
    model    text NOT NULL
);
