-- requires: core>=1

-- This gateway as the one that shares (B): what it grants, and the single-use offers of those grants.
CREATE TYPE grant_status AS ENUM ('pending', 'active', 'revoked', 'expired');

CREATE TABLE federation_grants (
    id           uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    subject_id   uuid         NOT NULL REFERENCES users ON DELETE RESTRICT,
    peer_name    text         NOT NULL,  -- what we call the gateway it is for
    peer_gateway text,                   -- what that gateway called itself when it enrolled
    scope        jsonb        NOT NULL,
    status       grant_status NOT NULL DEFAULT 'pending',
    serial       text         UNIQUE,    -- of the one certificate that may use it; lower-case hex
    not_after    timestamptz,            -- of that certificate
    created_by   text         NOT NULL,
    created_at   timestamptz  NOT NULL DEFAULT now(),
    activated_at timestamptz,
    expires_at   timestamptz  CHECK (expires_at > created_at),
    revoked_at   timestamptz,
    revoked_by   text,
    reason       text,
    version      integer      NOT NULL DEFAULT 1,
    CHECK (status <> 'active' OR (serial IS NOT NULL AND not_after IS NOT NULL AND activated_at IS NOT NULL)),
    CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
);

CREATE TABLE federation_enrollment_tokens (
    token_hash  bytea       PRIMARY KEY CHECK (length(token_hash) = 32),  -- SHA-256; the token itself is not kept
    grant_id    uuid        NOT NULL REFERENCES federation_grants ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    consumed_at timestamptz
);
CREATE INDEX federation_enrollment_tokens_grant ON federation_enrollment_tokens (grant_id);

CREATE TABLE federation_server_identity (
    host       text        PRIMARY KEY,  -- the name or address that peers dial
    chain      bytea       NOT NULL,     -- PEM
    sealed_key bytea       NOT NULL,     -- place: federation_server_identity/<host>/key
    not_after  timestamptz NOT NULL
);

-- This gateway as the one that is shared with (A).
-- pending: enrolled, not yet heard from over mTLS; removed: kept as a record, its key erased.
CREATE TYPE peer_state AS ENUM ('pending', 'active', 'removed');
CREATE TYPE peer_readers AS ENUM ('admins', 'everyone');

CREATE TABLE federation_peers (
    id         uuid         PRIMARY KEY,
    name       text         NOT NULL,  -- what we call it
    state      peer_state   NOT NULL DEFAULT 'pending',
    gateway    text         NOT NULL,  -- what it calls itself
    url        text         NOT NULL,
    grant_id   uuid         NOT NULL,  -- on its side
    subject_id uuid         NOT NULL,
    subject    text         NOT NULL,
    scope      jsonb        NOT NULL,
    ca         bytea        NOT NULL,  -- PEM; the only root its listener is trusted by
    chain      bytea        NOT NULL,  -- PEM; our certificate
    sealed_key bytea,                  -- place: federation_peers/<id>/key
    serial     text         NOT NULL,
    not_after  timestamptz  NOT NULL,
    readers    peer_readers NOT NULL,
    added_by   text         NOT NULL,
    created_at timestamptz  NOT NULL DEFAULT now(),
    removed_at timestamptz,
    CHECK ((state = 'removed') = (sealed_key IS NULL)),
    CHECK ((state = 'removed') = (removed_at IS NOT NULL))
);
CREATE UNIQUE INDEX federation_peers_name ON federation_peers (name) WHERE state <> 'removed';
