"""The local tier: an embedded Postgres in the gateway's own data directory, started and stopped by it."""
