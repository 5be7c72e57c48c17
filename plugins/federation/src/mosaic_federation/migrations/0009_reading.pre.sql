-- This gateway as the one that reads: whether its peers can be reached, and what they answered.
ALTER TABLE federation_peers
    ADD COLUMN answered_at timestamptz,                 -- when it last did, to the minute
    ADD COLUMN failures    integer NOT NULL DEFAULT 0,  -- dials in a row that reached nobody
    ADD COLUMN failure     text,                        -- why the last of them did not
    ADD COLUMN retry_at    timestamptz;                 -- it is left alone until then; NULL: it is asked

CREATE TABLE federation_peer_answers (
    key         text        PRIMARY KEY,  -- hash of peer, certificate, path and query
    peer_id     uuid        NOT NULL REFERENCES federation_peers ON DELETE CASCADE,
    path        text        NOT NULL,     -- tasks, tasks/search, tasks/<id>
    sealed_body bytea       NOT NULL,     -- place: federation_peer_answers/<key>/body
    answered_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX ON federation_peer_answers (peer_id, answered_at DESC);

-- What a crash loses is only asked again.
ALTER TABLE federation_peer_answers SET UNLOGGED;
