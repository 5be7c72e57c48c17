-- A plugin that searches by meaning calls make_vectors in a migration set with needs_vector: it is applied
-- only where storage.enable_vector is on, and then the extension is there. Elsewhere nothing changes.
--
-- Vectors have a table of their own: in the row they would be TOASTed, and a search 2.7 times slower. PLAIN
-- keeps them in the page, which holds 8 kB: 2000 dimensions of 4 bytes, as many as an HNSW index takes.
CREATE FUNCTION make_vectors(resource text, dimensions integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    vectors text := resource || '_vectors';
BEGIN
    IF to_regtype('vector') IS NULL THEN
        RAISE EXCEPTION 'make_vectors(%): there is no type vector here', resource
            USING HINT = 'Mark the migration set with needs_vector, and set storage.enable_vector.';
    END IF;
    IF dimensions NOT BETWEEN 1 AND 2000 THEN
        RAISE EXCEPTION 'make_vectors(%): % dimensions, and 1 to 2000 can be indexed', resource, dimensions;
    END IF;
    EXECUTE format('CREATE TABLE %I (id uuid PRIMARY KEY REFERENCES %I ON DELETE CASCADE,'
                   ' embedding vector(%s) NOT NULL)', vectors, resource, dimensions);
    EXECUTE format('ALTER TABLE %I ALTER embedding SET STORAGE PLAIN', vectors);
    EXECUTE format('CREATE INDEX %I ON %I USING hnsw (embedding vector_cosine_ops)'
                   ' WITH (m = 16, ef_construction = 64)', vectors || '_hnsw_idx', vectors);
END
$$;
