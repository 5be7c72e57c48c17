-- This gateway as the one that shares. A certificate is let in as long as it is on record and has not ended.

-- name: renewal_known
-- What was issued before for this key.
SELECT grant_id, chain, ended_at <= now() OR not_after <= now() AS ended FROM federation_certificates WHERE key_sha256 = $1

-- name: renewal_store
-- Beside the one in use, $2, and in place of another one that has not been used. No row: it is in use no more, or
-- the key is on record already.
WITH held AS MATERIALIZED (
    SELECT id, serial FROM federation_grants WHERE id = $1 AND serial = $2 AND status = 'active' FOR UPDATE),
stored AS (
    INSERT INTO federation_certificates (serial, grant_id, key_sha256, not_after, renews, chain)
    SELECT $3, id, $4, $5, serial, $6 FROM held ON CONFLICT DO NOTHING RETURNING serial, grant_id),
ended AS (
    UPDATE federation_certificates AS c SET ended_at = now(), chain = NULL
    FROM stored WHERE c.grant_id = stored.grant_id AND c.renews = $2 AND c.ended_at IS NULL)
SELECT serial FROM stored

-- name: renewal_use
-- The certificate of the grant is this one from now on; the one before is let in for $3 seconds more, for what is
-- under way. The URL that was spent for it still trips the wire when it is used again.
WITH held AS MATERIALIZED (
    SELECT id, serial FROM federation_grants WHERE id = $1 AND status = 'active' FOR UPDATE),
used AS (
    UPDATE federation_certificates AS c SET chain = NULL
    FROM held WHERE c.serial = $2 AND c.grant_id = held.id AND c.renews = held.serial AND c.ended_at IS NULL
    RETURNING c.serial, c.not_after, c.renews, c.grant_id),
ended AS (
    UPDATE federation_certificates AS c SET ended_at = now() + make_interval(secs => $3)
    FROM used WHERE c.serial = used.renews AND c.ended_at IS NULL),
carried AS (
    UPDATE federation_enrollment_tokens AS t SET serial = used.serial
    FROM used WHERE t.grant_id = used.grant_id AND t.serial = used.renews)
UPDATE federation_grants AS g SET serial = used.serial, not_after = used.not_after
FROM used WHERE g.id = used.grant_id RETURNING g.serial

-- name: certificates_forget
DELETE FROM federation_certificates AS c
WHERE c.ended_at < now() AND c.not_after < now() - make_interval(days => $1)
  AND NOT EXISTS (SELECT FROM federation_grants AS g WHERE g.serial = c.serial)
