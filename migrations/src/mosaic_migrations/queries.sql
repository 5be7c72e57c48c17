-- name: exists
SELECT to_regclass('{schema}.migrations') IS NOT NULL

-- name: schema_exists
SELECT to_regnamespace('{schema}') IS NOT NULL

-- name: create_schema
CREATE SCHEMA {schema}

-- name: create_table
CREATE TABLE {schema}.migrations (
    component  text        NOT NULL,
    version    integer     NOT NULL,
    phase      text        NOT NULL CHECK (phase IN ('pre', 'post')),
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (component, version, phase)
)

-- name: applied
SELECT component, version, phase, name, sha256 FROM {schema}.migrations

-- name: record
INSERT INTO {schema}.migrations (component, version, phase, name, sha256) VALUES ($1, $2, $3, $4, $5)

-- name: try_lock
SELECT pg_try_advisory_lock($1)

-- name: unlock
SELECT pg_advisory_unlock($1)

-- name: search_path
SELECT current_setting('search_path')

-- name: set_search_path
SELECT set_config('search_path', $1, false)

-- name: has_vector
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')

-- name: create_vector
CREATE EXTENSION IF NOT EXISTS vector SCHEMA public
