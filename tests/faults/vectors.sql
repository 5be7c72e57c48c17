CREATE TABLE sample_vectors (id bigint PRIMARY KEY, embedding vector(8), many vector(3)[]);
CREATE INDEX sample_vectors_near ON sample_vectors USING hnsw (embedding vector_cosine_ops);
