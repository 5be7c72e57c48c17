-- This gateway as the one that shares: a grant's peer has its certificate renewed. The next one is on record beside
-- the one in use, and takes its place when it is first used.
ALTER TABLE federation_certificates
    ADD COLUMN renews text,   -- serial of the one it was renewed with; NULL: it came of an enrollment
    ADD COLUMN chain  bytea;  -- PEM, kept until it is first used: the peer may not have got the answer

CREATE INDEX federation_certificates_grant ON federation_certificates (grant_id);

-- This gateway as the one that is shared with.
ALTER TABLE federation_peers
    ADD COLUMN sealed_next_key  bytea,                       -- place: federation_peers/<id>/key; of a renewal under way
    ADD COLUMN renewed_at       timestamptz,
    ADD COLUMN renewal_failures integer NOT NULL DEFAULT 0,  -- in a row
    ADD COLUMN renewal_failure  text,                        -- why the last of them failed
    ADD COLUMN renewal_retry_at timestamptz,                 -- not tried before; also while one process is at it
    ADD COLUMN capabilities     jsonb,                       -- what its release can do, as it says; NULL: not asked yet
    ADD COLUMN capabilities_at  timestamptz,
    ADD COLUMN capabilities_for text;                        -- our release when it was asked
