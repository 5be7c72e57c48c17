"""Storage in a Postgres that somebody else runs."""
