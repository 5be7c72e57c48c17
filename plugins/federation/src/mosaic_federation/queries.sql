-- name: admission
SELECT g.id, g.subject_id, u.username AS subject, u.disabled_at IS NOT NULL AS subject_disabled, g.peer_name,
       g.scope::text AS scope, g.status::text AS status, g.serial, c.key_sha256, g.expires_at
FROM federation_grants AS g JOIN users AS u ON u.id = g.subject_id
     LEFT JOIN federation_certificates AS c ON c.serial = g.serial AND c.grant_id = g.id
WHERE g.id = $1

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
