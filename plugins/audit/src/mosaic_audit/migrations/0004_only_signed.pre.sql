-- Checkpoints are numbered from 1, so that what is said to be covered by another one is covered by none.
ALTER TABLE federation_audit_spans ADD CONSTRAINT federation_audit_spans_checkpoint_check
    CHECK (checkpoint > 0) NOT VALID;  -- a row that is there already is for `verify` to report, not to stop an upgrade

-- As before, but a table of that name that is no partition any more takes no rows: to go by its name alone would have
-- every row of the month refused without a word why.
CREATE OR REPLACE FUNCTION federation_audit_log_cover(moment timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz := date_trunc('month', moment, 'UTC');
    after timestamptz := date_trunc('month', date_trunc('month', moment, 'UTC') + interval '32 days', 'UTC');
    name  text := 'federation_audit_log_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMM');
BEGIN
    LOCK TABLE federation_audit_log IN SHARE UPDATE EXCLUSIVE MODE;  -- one at a time
    IF EXISTS (SELECT FROM pg_inherits
               WHERE inhparent = 'federation_audit_log'::regclass AND inhrelid = to_regclass(name)) THEN
        RETURN after;
    ELSIF to_regclass(name) IS NOT NULL THEN
        RAISE EXCEPTION 'table % is no partition of the audit log any more', name
            USING ERRCODE = 'object_not_in_prerequisite_state';
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
