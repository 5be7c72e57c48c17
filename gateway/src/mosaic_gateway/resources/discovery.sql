-- name: has_views
SELECT EXISTS (SELECT FROM made_views())

-- name: wait
SELECT set_config('lock_timeout', '5s', true)

-- name: lock
SELECT pg_advisory_xact_lock($1)

-- name: drop_views
SELECT drop_views($1::text[])
