-- The words in search_vector now say whose row they are in: before each is the tag of its place, which is the owner of a
-- personal row and else the team. So a search looks a word up as the viewer's places have it, and reads nobody else's
-- matches; before, the index read whose all rows of the viewer are, to find the few among them that have the word.

-- Four characters of the end of the id, which is random in all kinds of id that are made today. Where two places have
-- the same, one in 16 million, a search asks each row of both whose it is. No word, with its tag, takes more room than
-- it did with a position, of which each has one; and the tag alone takes that of a word which is left out. So what fitted
-- into a tsvector still fits. Nothing here is found through
-- the search path: a dump is put back without one.
CREATE FUNCTION words_of_place(words tsvector, place uuid) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    tag text := encode(substring(uuid_send(place) FROM 14), 'base64');
BEGIN
    IF pg_column_size(words) > 2000 THEN  -- else no word is longer than that, and there is room for all
        words := ts_delete(words, ARRAY(SELECT w FROM unnest(tsvector_to_array(words)) w WHERE octet_length(w) > 2042));
        IF pg_column_size(words) > 1000000 THEN
            words := strip(words);  -- places are kept, positions are not
            words := ts_delete(words, (tsvector_to_array(words))[1]);
        END IF;
    END IF;
    -- No word has a space in it. The tag alone is a word, too: by it a search for rows without a word finds all.
    RETURN quote_literal(tag) || replace(' ' || words::text, ' ''', ' ''' || tag);
END
$$;

-- A query of words, as a place has them.
CREATE FUNCTION query_of_place(query tsquery, place uuid) RETURNS tsquery
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
DECLARE
    tag   text := encode(substring(uuid_send(place) FROM 14), 'base64');
    words text := query;
BEGIN
    IF strpos(words, '!') = 0 THEN
        RETURN replace(' ' || words, ' ''', ' ''' || tag);
    END IF;
    -- A quote also begins a word after "!", which may be in words as well: a regular expression, which takes longer.
    words := regexp_replace(words, '''((?:[^'']|'''')*)''', '''' || tag || '\1''', 'g');
    RETURN CASE querytree(query) WHEN 'T' THEN format('%L & ( %s )', tag, words) ELSE words END;
END
$$;

-- The index goes with the column, and is made anew as it was. It goes on to know the place by itself as well: other
-- languages' words, and those of a part of the columns, are in no tsvector that is kept.
CREATE FUNCTION make_words_of_places(table_name text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    words text;
BEGIN
    SELECT pg_get_expr(e.adbin, e.adrelid) INTO STRICT words
    FROM pg_attribute a JOIN pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
    WHERE a.attrelid = format('%I', table_name)::regclass AND a.attname = 'search_vector';
    EXECUTE format('ALTER TABLE %I DROP COLUMN search_vector, ADD COLUMN search_vector tsvector GENERATED ALWAYS AS'
                   ' (words_of_place(%s, CASE WHEN team_id IS NULL THEN owner_id ELSE team_id END)) STORED',
                   table_name, words);
    PERFORM make_search_index(table_name);
END
$$;

SELECT make_words_of_places(c.relname)
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
  AND (SELECT count(*) FROM pg_attribute a
       WHERE a.attrelid = c.oid AND a.attname IN ('owner_id', 'team_id', 'search_vector') AND NOT a.attisdropped) = 3;

CREATE OR REPLACE FUNCTION make_resource(table_name text, search_columns text[] DEFAULT '{}') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM make_resource_table(table_name, search_columns);
    IF search_columns <> '{}' THEN
        PERFORM make_words_of_places(table_name);
    END IF;
END
$$;

-- As in 0010; the search columns are no longer all that search_vector is generated from.
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
    -- The search columns are those that search_vector is generated from, beside whose row it is.
    SELECT string_agg(format('%I', a.attname), ', '),
           string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', a.attname), ' OR ')
      INTO columns, changed
      FROM pg_attribute s
      JOIN pg_attrdef e ON e.adrelid = s.attrelid AND e.adnum = s.attnum
      JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = e.oid
                      AND d.refclassid = 'pg_class'::regclass AND d.refobjid = s.attrelid
      JOIN pg_attribute a ON a.attrelid = s.attrelid AND a.attnum = d.refobjsubid AND a.attnum <> s.attnum
                      AND a.attname NOT IN ('owner_id', 'team_id')
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

-- As in 0012, first the grant and then its subject's teams: joined, they were a hash table at each call, and each scan of
-- a peer's statement calls it.
CREATE OR REPLACE FUNCTION peer_teams(resource text) RETURNS uuid[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = mosaic, pg_temp AS $$
DECLARE
    of_whom uuid;
    named   jsonb;
BEGIN
    SELECT g.subject, g.scope -> 'include_teams' INTO of_whom, named FROM granted_plainly(resource) g;
    RETURN (
        SELECT array_agg(m.team_id) FROM memberships m
        WHERE m.user_id = of_whom
          AND (named = '"all"' OR named @> to_jsonb(m.team_id::text) AND jsonb_typeof(named) = 'array'));
END
$$;
