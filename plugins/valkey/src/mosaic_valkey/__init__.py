"""Queue, cache, pub/sub and limiter over Valkey, or over Redis from 6.2."""
