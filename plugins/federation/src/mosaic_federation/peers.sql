-- name: peers
SELECT id, name, state::text AS state, gateway, url, grant_id, subject_id, subject, scope::text AS scope, ca,
       chain, sealed_key, serial, not_after, oid_arc, readers::text AS readers, refusal, refused_at, added_by,
       created_at
FROM federation_peers WHERE state <> 'removed' AND ($1::text IS NULL OR name = $1) ORDER BY name

-- name: peer_create
INSERT INTO federation_peers (id, name, gateway, url, grant_id, subject_id, subject, scope, ca, chain,
                              sealed_key, serial, not_after, oid_arc, readers, added_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (name) WHERE state <> 'removed' DO NOTHING
RETURNING id

-- name: peer_heard
UPDATE federation_peers SET state = 'active', refusal = NULL, refused_at = NULL, scope = $2::jsonb
WHERE id = $1 AND state <> 'removed'

-- name: peer_answers
UPDATE federation_peers SET refusal = NULL, refused_at = NULL WHERE id = $1

-- name: peer_refused
UPDATE federation_peers SET refusal = $2, refused_at = now() WHERE id = $1 AND state <> 'removed'

-- name: peer_remove
UPDATE federation_peers SET state = 'removed', sealed_key = NULL, removed_at = now()
WHERE name = $1 AND state <> 'removed' RETURNING id

-- name: joins
SELECT id, name, gateway, place, grant_id, token_hash, sealed_key, failed, added_by, started_at
FROM federation_joins ORDER BY name

-- name: join_begin
INSERT INTO federation_joins (id, name, gateway, place, grant_id, token_hash, sealed_key, added_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (name) DO UPDATE
SET id = excluded.id, gateway = excluded.gateway, place = excluded.place, grant_id = excluded.grant_id,
    token_hash = excluded.token_hash, sealed_key = excluded.sealed_key, added_by = excluded.added_by,
    failed = false, started_at = now()
WHERE federation_joins.failed OR federation_joins.started_at < now() - make_interval(secs => $9)
RETURNING id

-- name: join_failed
UPDATE federation_joins SET failed = true WHERE id = $1

-- name: join_end
DELETE FROM federation_joins WHERE id = $1 RETURNING id

-- name: join_remove
DELETE FROM federation_joins WHERE name = $1 RETURNING id
