-- Enrollment in steps: a token is claimed, the authority signs with no connection held, the token is spent.
ALTER TABLE federation_enrollment_tokens
    ADD COLUMN claim         uuid,         -- of the redemption under way
    ADD COLUMN claimed_until timestamptz,  -- so that the claim of a process that died lapses by itself
    ADD COLUMN serial        text,         -- of the certificate it was spent for
    ADD CHECK ((claim IS NULL) = (claimed_until IS NULL)),
    ADD CHECK (claim IS NULL OR consumed_at IS NULL);

UPDATE federation_enrollment_tokens AS t SET serial = g.serial
FROM federation_grants AS g WHERE g.id = t.grant_id AND t.consumed_at IS NOT NULL;

-- Every certificate that was handed out.
CREATE TABLE federation_certificates (
    serial     text        PRIMARY KEY,  -- lower-case hex
    grant_id   uuid        NOT NULL REFERENCES federation_grants ON DELETE CASCADE,
    -- SHA-256 of its SubjectPublicKeyInfo: a key is used for one certificate; NULL: issued before this table
    key_sha256 bytea       UNIQUE CHECK (length(key_sha256) = 32),
    not_after  timestamptz NOT NULL,
    issued_at  timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,              -- refused by the gate since
    revoked_at timestamptz CHECK (revoked_at IS NULL OR ended_at IS NOT NULL)  -- the authority was told
);
CREATE INDEX federation_certificates_to_revoke ON federation_certificates (ended_at)
    WHERE ended_at IS NOT NULL AND revoked_at IS NULL;

INSERT INTO federation_certificates (serial, grant_id, not_after, issued_at)
SELECT serial, id, not_after, coalesce(activated_at, created_at)
FROM federation_grants WHERE serial IS NOT NULL AND not_after IS NOT NULL;
