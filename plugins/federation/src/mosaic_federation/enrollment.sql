-- name: offer
SELECT t.expires_at, t.consumed_at IS NOT NULL AS spent, t.expires_at <= now() AS lapsed, g.id AS grant_id,
       g.subject_id, g.peer_name, g.scope::text AS scope, g.status::text AS status,
       g.expires_at AS grant_expires_at, g.expires_at <= now() AS grant_lapsed,
       u.disabled_at IS NOT NULL AS subject_disabled
FROM federation_enrollment_tokens AS t JOIN federation_grants AS g ON g.id = t.grant_id
     JOIN users AS u ON u.id = g.subject_id
WHERE t.token_hash = $1

-- name: token_claim
UPDATE federation_enrollment_tokens SET claim = $2, claimed_until = now() + make_interval(secs => $3)
WHERE token_hash = $1 AND consumed_at IS NULL AND expires_at > now() AND (claim IS NULL OR claimed_until <= now())
RETURNING claim

-- name: token_unclaim
UPDATE federation_enrollment_tokens SET claim = NULL, claimed_until = NULL WHERE token_hash = $1 AND claim = $2

-- name: grant_lock
SELECT serial FROM federation_grants
WHERE id = $1 AND status IN ('pending', 'active') AND (expires_at IS NULL OR expires_at > now())
FOR UPDATE

-- name: token_spend
UPDATE federation_enrollment_tokens
SET consumed_at = now(), serial = $3, claim = NULL, claimed_until = NULL
WHERE token_hash = $1 AND claim = $2 AND consumed_at IS NULL AND expires_at > now()
RETURNING serial

-- name: certificate_store
INSERT INTO federation_certificates (serial, grant_id, key_sha256, not_after) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING serial

-- name: grant_enrolled
WITH enrolled AS (
    UPDATE federation_grants
    SET status = 'active', activated_at = coalesce(activated_at, now()), serial = $2, not_after = $3,
        peer_gateway = $4, version = version + 1
    WHERE id = $1 AND status IN ('pending', 'active')
    RETURNING id, version, peer_gateway)
INSERT INTO federation_grant_changes (grant_id, version, change, actor)
SELECT id, version, 'enrolled', 'peer:' || peer_gateway FROM enrolled

-- name: grant_trip
WITH tripped AS (
    UPDATE federation_grants AS g SET status = 'quarantined', version = g.version + 1
    FROM federation_enrollment_tokens AS t
    WHERE t.token_hash = $1 AND t.consumed_at IS NOT NULL AND g.id = t.grant_id AND g.serial = t.serial
      AND g.status = 'active'
    RETURNING g.id, g.version, g.serial),
recorded AS (
    INSERT INTO federation_grant_changes (grant_id, version, change, actor, reason)
    SELECT id, version, 'quarantined', 'gateway', $2 FROM tripped)
SELECT serial FROM tripped

-- name: certificate_end
UPDATE federation_certificates SET ended_at = coalesce(ended_at, now()) WHERE serial = $1

-- name: certificates_to_revoke
SELECT serial FROM federation_certificates
WHERE ended_at IS NOT NULL AND revoked_at IS NULL AND not_after > now() ORDER BY ended_at LIMIT 100

-- name: certificate_revoked
UPDATE federation_certificates SET revoked_at = now() WHERE serial = $1 AND revoked_at IS NULL

-- name: certificate_ended
SELECT ended_at IS NOT NULL FROM federation_certificates WHERE serial = $1 AND grant_id = $2

-- name: quarantined
SELECT id, peer_name FROM federation_grants WHERE status = 'quarantined' ORDER BY created_at, id
