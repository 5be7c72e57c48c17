"""The standalone tier: a team's own Postgres and Valkey, and no federation."""
