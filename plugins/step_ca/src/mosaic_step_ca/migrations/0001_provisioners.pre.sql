CREATE TABLE step_ca_provisioners (
    purpose    text        PRIMARY KEY CHECK (purpose IN ('grants', 'listeners')),
    name       text        NOT NULL,  -- what the authority calls it; `iss` of its tokens
    kid        text        NOT NULL,  -- thumbprint of its key (RFC 7638)
    sealed_key bytea       NOT NULL,  -- a private JWK; place: step_ca_provisioners/<purpose>/key
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE step_ca_roots (
    fingerprint text        PRIMARY KEY,  -- SHA-256 of the DER, lower-case hex
    certificate bytea       NOT NULL,     -- PEM; kept so that listeners start while the authority is down
    stored_at   timestamptz NOT NULL DEFAULT now()
);
