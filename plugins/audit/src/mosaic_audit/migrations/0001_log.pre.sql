-- Append-only. A stream is one writer (a process) and carries its own hash chain, so that writers never wait
-- for each other. `payload` is what was hashed; the columns before it repeat it for queries.
CREATE TABLE federation_audit_log (
    stream     uuid        NOT NULL,
    seq        bigint      NOT NULL CHECK (seq > 0),
    at         timestamptz NOT NULL,
    peer       text        NOT NULL,
    grant_id   uuid,       -- no foreign keys: the record outlives what it is about
    subject_id uuid,
    serial     text        NOT NULL,
    verb       text        NOT NULL,
    resource   text        NOT NULL,
    query_hash text        NOT NULL,
    outcome    text        NOT NULL,
    rows       bigint      NOT NULL,
    bytes_out  bigint      NOT NULL,
    latency_us bigint      NOT NULL,
    request_id text        NOT NULL,
    payload    text        NOT NULL,
    prev       bytea       NOT NULL CHECK (length(prev) = 32),
    hash       bytea       NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (stream, seq)
);

CREATE INDEX federation_audit_log_at ON federation_audit_log (at);

CREATE FUNCTION federation_audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON federation_audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION federation_audit_log_is_append_only();
