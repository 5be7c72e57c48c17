CREATE TABLE embedded_ca_authority (
    id          smallint    PRIMARY KEY CHECK (id = 1),  -- one root; whoever inserts first has made it
    certificate bytea       NOT NULL,  -- PEM
    sealed_key  bytea       NOT NULL,  -- place: embedded_ca_authority/1/key
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE embedded_ca_certificates (
    serial     text        PRIMARY KEY,  -- lower-case hex
    grant_id   uuid,                     -- NULL for a listener's certificate
    not_after  timestamptz NOT NULL,
    issued_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

CREATE INDEX embedded_ca_certificates_grant ON embedded_ca_certificates (grant_id);
