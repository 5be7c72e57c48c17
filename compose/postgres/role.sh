# Sourced by the Postgres image when it makes an empty data directory (/docker-entrypoint-initdb.d).
# The gateway's role owns its database and is no superuser, so it could not create pgvector by itself.
test -s /run/secrets/postgres_mosaic
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=postgres <<'SQL'
\set password `cat /run/secrets/postgres_mosaic`
CREATE ROLE mosaic LOGIN PASSWORD :'password';
CREATE DATABASE mosaic OWNER mosaic;
REVOKE ALL ON DATABASE mosaic FROM PUBLIC;
\connect mosaic
SELECT 'CREATE EXTENSION vector' FROM pg_available_extensions WHERE name = 'vector' \gexec
SQL
