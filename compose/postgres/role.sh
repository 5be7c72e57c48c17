# Sourced by the Postgres image when it makes an empty data directory (/docker-entrypoint-initdb.d).
# The gateway's role owns its database and is no superuser: it could create neither pgvector nor the role that peers
# are answered as, nor let their searches use an index under row-level security.
test -s /run/secrets/postgres_mosaic
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=postgres <<'SQL'
\set password `cat /run/secrets/postgres_mosaic`
CREATE ROLE mosaic LOGIN PASSWORD :'password';
CREATE ROLE mosaic_peer NOLOGIN;
GRANT mosaic_peer TO mosaic;
CREATE DATABASE mosaic OWNER mosaic;
REVOKE ALL ON DATABASE mosaic FROM PUBLIC;
\connect mosaic
ALTER FUNCTION ts_match_vq(tsvector, tsquery) LEAKPROOF;
ALTER FUNCTION arrayoverlap(anyarray, anyarray) LEAKPROOF;
SELECT 'CREATE EXTENSION vector' FROM pg_available_extensions WHERE name = 'vector' \gexec
SQL
