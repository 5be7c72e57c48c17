-- name: authority
SELECT certificate, sealed_key FROM embedded_ca_authority WHERE id = 1

-- name: found
INSERT INTO embedded_ca_authority (id, certificate, sealed_key) VALUES (1, $1, $2) ON CONFLICT DO NOTHING

-- name: issued
INSERT INTO embedded_ca_certificates (serial, grant_id, not_after) VALUES ($1, $2, $3)

-- name: revoke
UPDATE embedded_ca_certificates SET revoked_at = coalesce(revoked_at, now()) WHERE serial = $1
