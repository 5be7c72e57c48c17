-- The key that checkpoints are signed with: one for each gateway, as long as it lives.
CREATE TABLE federation_audit_keys (
    id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    public_key bytea       NOT NULL CHECK (length(public_key) = 32),
    sealed_key bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX federation_audit_keys_one ON federation_audit_keys ((true));

-- Signed, each linked to the one before. `payload` is what is signed.
CREATE TABLE federation_audit_checkpoints (
    number    bigint      PRIMARY KEY CHECK (number > 0),
    at        timestamptz NOT NULL,
    payload   text        NOT NULL,
    signature bytea       NOT NULL CHECK (length(signature) = 64)
);

-- What a checkpoint covers: rows first to last of a stream. `head` is the hash of the last, `root` the Merkle root
-- over the hashes of all. `retired` ones say that everything up to `last` was given up, so that it may be gone.
CREATE TABLE federation_audit_spans (
    checkpoint bigint  NOT NULL,
    stream     uuid    NOT NULL,
    first      bigint  NOT NULL CHECK (first > 0),
    last       bigint  NOT NULL CHECK (last >= first),
    head       bytea   NOT NULL CHECK (length(head) = 32),
    root       bytea   NOT NULL CHECK (length(root) = 32),
    retired    boolean NOT NULL,
    PRIMARY KEY (stream, retired, last)
);

CREATE INDEX federation_audit_spans_checkpoint ON federation_audit_spans (checkpoint);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON federation_audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION federation_audit_log_is_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON federation_audit_spans
    FOR EACH STATEMENT EXECUTE FUNCTION federation_audit_log_is_append_only();

-- One partition for each month (UTC), so that old rows go by dropping a table. Rows written before this release stay
-- as they are, in a partition of their own that ends with the present month.
ALTER TABLE federation_audit_log RENAME TO federation_audit_log_before;
ALTER TABLE federation_audit_log_before ADD COLUMN trace_id text NOT NULL DEFAULT '';
ALTER TABLE federation_audit_log_before DROP CONSTRAINT federation_audit_log_pkey;
ALTER INDEX federation_audit_log_at RENAME TO federation_audit_log_before_at;

CREATE TABLE federation_audit_log (
    LIKE federation_audit_log_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    PRIMARY KEY (stream, seq, at)
) PARTITION BY RANGE (at);

CREATE INDEX federation_audit_log_at ON federation_audit_log (at);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON federation_audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION federation_audit_log_is_append_only();

DO $$
DECLARE
    latest timestamptz := (SELECT max(at) FROM federation_audit_log_before);
BEGIN
    IF latest IS NULL THEN
        DROP TABLE federation_audit_log_before;
    ELSE
        EXECUTE format(
            'ALTER TABLE federation_audit_log ATTACH PARTITION federation_audit_log_before FOR VALUES FROM (MINVALUE) TO (%L)',
            date_trunc('month', greatest(latest, now()), 'UTC') + interval '1 month');
    END IF;
END
$$;

-- Makes the partition that a moment falls in, unless there is one; returns where it ends. Writers are not held up:
-- to attach a table takes no lock that an INSERT waits for.
CREATE FUNCTION federation_audit_log_cover(moment timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz := date_trunc('month', moment, 'UTC');
    after timestamptz := date_trunc('month', date_trunc('month', moment, 'UTC') + interval '32 days', 'UTC');
    name  text := 'federation_audit_log_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMM');
BEGIN
    LOCK TABLE federation_audit_log IN SHARE UPDATE EXCLUSIVE MODE;  -- one at a time
    IF to_regclass(name) IS NOT NULL THEN
        RETURN after;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE federation_audit_log INCLUDING ALL)', name);
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION federation_audit_log_is_append_only()', name);
    EXECUTE format('ALTER TABLE federation_audit_log ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   name, first, after);
    RETURN after;
EXCEPTION
    WHEN invalid_object_definition THEN  -- it overlaps: the partition of rows from before holds this month
        RETURN after;
END
$$;

SELECT federation_audit_log_cover(now());
