-- name: grant_create
INSERT INTO federation_grants (subject_id, peer_name, scope, created_by, expires_at)
VALUES ($1, $2, $3::jsonb, $4, $5) RETURNING id

-- name: token_create
INSERT INTO federation_enrollment_tokens (token_hash, grant_id, expires_at)
VALUES ($1, $2, now() + make_interval(secs => $3)) RETURNING expires_at

-- name: grants
SELECT g.id, g.subject_id, u.username AS subject, g.peer_name, g.peer_gateway, g.scope::text AS scope,
       g.serial, g.not_after, g.created_by, g.created_at, g.activated_at, g.expires_at,
       g.revoked_at, g.revoked_by, g.reason, g.version, u.disabled_at IS NOT NULL AS subject_disabled,
       CASE WHEN g.status IN ('pending', 'active') AND g.expires_at <= now()
              OR g.status = 'pending' AND NOT EXISTS (
                     SELECT FROM federation_enrollment_tokens AS t
                     WHERE t.grant_id = g.id AND t.consumed_at IS NULL AND t.expires_at > now())
            THEN 'expired' ELSE g.status::text END AS status
FROM federation_grants AS g JOIN users AS u ON u.id = g.subject_id
WHERE $1::uuid IS NULL OR g.id = $1
ORDER BY g.created_at, g.id

-- name: grant_revoke
UPDATE federation_grants
SET status = 'revoked', revoked_at = now(), revoked_by = $2, reason = $3, version = version + 1
WHERE id = $1 AND status <> 'revoked'
RETURNING serial

-- name: grant_activate
UPDATE federation_grants
SET status = 'active', activated_at = now(), serial = $2, not_after = $3, peer_gateway = $4,
    version = version + 1
WHERE id = $1 AND status = 'pending'

-- name: grants_expire
UPDATE federation_grants AS g SET status = 'expired', version = version + 1
WHERE g.status IN ('pending', 'active') AND g.expires_at <= now()
   OR g.status = 'pending' AND NOT EXISTS (
          SELECT FROM federation_enrollment_tokens AS t
          WHERE t.grant_id = g.id AND t.consumed_at IS NULL AND t.expires_at > now())

-- name: tokens_forget
DELETE FROM federation_enrollment_tokens WHERE expires_at < now() - make_interval(days => $1)

-- name: admission
SELECT g.id, g.subject_id, u.username AS subject, u.disabled_at IS NOT NULL AS subject_disabled, g.peer_name,
       g.scope::text AS scope, g.status::text AS status, g.serial, g.expires_at
FROM federation_grants AS g JOIN users AS u ON u.id = g.subject_id
WHERE g.id = $1

-- name: offer
SELECT t.expires_at, t.consumed_at IS NOT NULL AS spent, t.expires_at <= now() AS lapsed, g.id AS grant_id,
       g.subject_id, g.peer_name, g.scope::text AS scope, g.status::text AS status,
       g.expires_at AS grant_expires_at, g.expires_at <= now() AS grant_lapsed,
       u.disabled_at IS NOT NULL AS subject_disabled
FROM federation_enrollment_tokens AS t JOIN federation_grants AS g ON g.id = t.grant_id
     JOIN users AS u ON u.id = g.subject_id
WHERE t.token_hash = $1

-- name: token_consume
UPDATE federation_enrollment_tokens SET consumed_at = now() WHERE token_hash = $1 AND consumed_at IS NULL

-- name: server_identity
SELECT chain, sealed_key FROM federation_server_identity
WHERE host = $1 AND not_after > now() + make_interval(days => $2)

-- name: server_certificate
SELECT not_after FROM federation_server_identity WHERE host = $1

-- name: server_identity_store
INSERT INTO federation_server_identity (host, chain, sealed_key, not_after) VALUES ($1, $2, $3, $4)
ON CONFLICT (host) DO UPDATE
SET chain = excluded.chain, sealed_key = excluded.sealed_key, not_after = excluded.not_after
WHERE federation_server_identity.not_after <= now() + make_interval(days => $5)

-- name: peers
SELECT id, name, state::text AS state, gateway, url, grant_id, subject_id, subject, scope::text AS scope, ca,
       chain, sealed_key, serial, not_after, readers::text AS readers, added_by, created_at
FROM federation_peers WHERE state <> 'removed' AND ($1::text IS NULL OR name = $1) ORDER BY name

-- name: peer_create
INSERT INTO federation_peers (id, name, gateway, url, grant_id, subject_id, subject, scope, ca, chain,
                              sealed_key, serial, not_after, readers, added_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (name) WHERE state <> 'removed' DO NOTHING
RETURNING id

-- name: peer_activate
UPDATE federation_peers SET state = 'active' WHERE id = $1 AND state = 'pending'

-- name: peer_remove
UPDATE federation_peers SET state = 'removed', sealed_key = NULL, removed_at = now()
WHERE name = $1 AND state <> 'removed' RETURNING id
