-- name: offer
SELECT t.expires_at, t.consumed_at IS NOT NULL AS spent, t.expires_at <= now() AS lapsed, g.id AS grant_id,
       g.subject_id, g.peer_name, g.scope::text AS scope, g.status::text AS status,
       g.expires_at AS grant_expires_at, g.expires_at <= now() AS grant_lapsed,
       u.username AS subject, u.disabled_at IS NOT NULL AS subject_disabled
FROM federation_enrollment_tokens AS t JOIN federation_grants AS g ON g.id = t.grant_id
     JOIN users AS u ON u.id = g.subject_id
WHERE t.token_hash = $1

-- name: token_claim
-- A claim that a crash of the database loses is one that cannot be spent: it need not wait for the disk.
WITH claimed AS (
    UPDATE federation_enrollment_tokens SET claim = $2, claimed_until = now() + make_interval(secs => $3)
    WHERE token_hash = $1 AND consumed_at IS NULL AND expires_at > now()
      AND (claim IS NULL OR claimed_until <= now())
    RETURNING token_hash)
SELECT offer.*, EXISTS (SELECT FROM claimed) AS claimed, set_config('synchronous_commit', 'off', true)
FROM ({offer}) AS offer

-- name: token_unclaim
UPDATE federation_enrollment_tokens SET claim = NULL, claimed_until = NULL WHERE token_hash = $1 AND claim = $2

-- name: token_spend
-- All of it or nothing. The grant is locked first, as by those who take a token back: so the token is seen as they
-- have left it, and by the clock, since this statement may have begun before theirs. A token is made only after the
-- certificate of the one before, so that this statement sees the certificate it ends. No row: the token cannot be
-- spent; not "stored": the key or the serial is on record already.
WITH held AS MATERIALIZED (
    SELECT id, serial FROM federation_grants
    WHERE id = $1 AND status IN ('pending', 'active') AND (expires_at IS NULL OR expires_at > clock_timestamp())
    FOR UPDATE),
claimed AS MATERIALIZED (
    SELECT t.token_hash, held.id, held.serial AS replaced
    FROM held JOIN federation_enrollment_tokens AS t ON t.grant_id = held.id
    WHERE t.token_hash = $2 AND t.claim = $3 AND t.consumed_at IS NULL AND t.expires_at > clock_timestamp()
    FOR UPDATE OF t),
stored AS (
    INSERT INTO federation_certificates (serial, grant_id, key_sha256, not_after)
    SELECT $4, id, $5, $6 FROM claimed ON CONFLICT DO NOTHING RETURNING grant_id, serial, not_after),
spent AS (
    UPDATE federation_enrollment_tokens AS t
    SET consumed_at = now(), serial = stored.serial, claim = NULL, claimed_until = NULL
    FROM claimed, stored WHERE t.token_hash = claimed.token_hash),
ended AS (
    UPDATE federation_certificates AS c SET ended_at = now()
    FROM claimed, stored WHERE c.grant_id = claimed.id AND (c.ended_at IS NULL OR c.ended_at > now())),
enrolled AS (
    UPDATE federation_grants AS g
    SET status = 'active', activated_at = coalesce(g.activated_at, now()), serial = stored.serial,
        not_after = stored.not_after, peer_gateway = $7, version = g.version + 1
    FROM stored WHERE g.id = stored.grant_id
    RETURNING g.id, g.version, g.peer_gateway),
changed AS (
    INSERT INTO federation_grant_changes (grant_id, version, change, actor)
    SELECT id, version, 'enrolled', 'peer:' || peer_gateway FROM enrolled)
SELECT replaced, EXISTS (SELECT FROM stored) AS stored FROM claimed

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

-- name: certificates_to_revoke
SELECT serial FROM federation_certificates
WHERE ended_at <= now() AND revoked_at IS NULL AND not_after > now() ORDER BY ended_at LIMIT 100

-- name: certificate_revoked
UPDATE federation_certificates SET revoked_at = now() WHERE serial = $1 AND revoked_at IS NULL

-- name: certificate_ended
-- The state of its grant, for what to say.
SELECT g.status::text FROM federation_certificates AS c JOIN federation_grants AS g ON g.id = c.grant_id
WHERE c.serial = $1 AND c.grant_id = $2 AND c.ended_at <= now()

-- name: quarantined
SELECT id, peer_name FROM federation_grants WHERE status = 'quarantined' ORDER BY created_at, id
