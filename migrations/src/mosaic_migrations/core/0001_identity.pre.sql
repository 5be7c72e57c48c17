CREATE TYPE user_role AS ENUM ('admin', 'member');

CREATE TABLE users (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    username     text NOT NULL CHECK (username ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    display_name text NOT NULL DEFAULT '' CHECK (length(display_name) <= 200),
    role         user_role NOT NULL DEFAULT 'member',
    created_at   timestamptz NOT NULL DEFAULT now(),
    disabled_at  timestamptz
);
-- Ada and ada would be taken for one person, so they cannot both exist.
CREATE UNIQUE INDEX users_username_key ON users (lower(username));

CREATE TABLE teams (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug       text NOT NULL CONSTRAINT teams_slug_key UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name       text NOT NULL DEFAULT '' CHECK (length(name) <= 200),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE memberships (
    team_id    uuid NOT NULL REFERENCES teams ON DELETE RESTRICT,
    user_id    uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
    role       user_role NOT NULL DEFAULT 'member',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team_id, user_id)
);
-- Every read asks for the teams of one user: this index answers without the table.
CREATE INDEX memberships_user_idx ON memberships (user_id, team_id);

CREATE TABLE api_tokens (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id      uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    prefix       text NOT NULL CONSTRAINT api_tokens_prefix_key UNIQUE CHECK (prefix ~ '^[a-z0-9]{8}$'),
    hash         bytea NOT NULL CHECK (length(hash) = 32),  -- SHA-256 of the whole token
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz CHECK (expires_at > created_at),
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_tokens_user_idx ON api_tokens (user_id);
