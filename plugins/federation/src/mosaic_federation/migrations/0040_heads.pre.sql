-- Checkpoints of other gateways' audit logs, as they told them. 'giver': by the gateway that gave us the grant;
-- 'taker': by the one that we gave it to. Two of one number are proof that a log was rewritten: both are kept.
CREATE TABLE federation_heads (
    side      text        NOT NULL CHECK (side IN ('giver', 'taker')),
    grant_id  uuid        NOT NULL,  -- no foreign key: the record outlives what it is about
    number    bigint      NOT NULL CHECK (number > 0),
    payload   text        NOT NULL,
    signature bytea       NOT NULL CHECK (length(signature) = 64),
    key       bytea       NOT NULL CHECK (length(key) = 32),
    told_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (side, grant_id, number, signature)
);

CREATE FUNCTION federation_heads_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what a peer has said is kept: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON federation_heads
    FOR EACH STATEMENT EXECUTE FUNCTION federation_heads_are_append_only();
