-- This gateway as the one that is shared with: enrollments under way, and what peers last refused.
CREATE TABLE federation_joins (
    id         uuid        PRIMARY KEY,      -- of the peer that it becomes
    name       text        NOT NULL UNIQUE,  -- what that peer will be called
    gateway    text        NOT NULL,         -- what it calls itself
    place      text        NOT NULL,         -- where it is enrolled with; without the token
    grant_id   uuid        NOT NULL,         -- on its side
    token_hash bytea       NOT NULL CHECK (length(token_hash) = 32),
    sealed_key bytea       NOT NULL,         -- place: federation_peers/<id>/key
    failed     boolean     NOT NULL DEFAULT false,  -- it ended without an answer
    added_by   text        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE federation_peers
    -- of the ids in our certificate; the default is for the release before, which knows no other
    ADD COLUMN oid_arc    text NOT NULL DEFAULT '1.3.6.1.4.1.99999',
    ADD COLUMN refusal    text,  -- why it last refused us; NULL: it did not
    ADD COLUMN refused_at timestamptz,
    ADD CHECK ((refusal IS NULL) = (refused_at IS NULL));
