-- Every change of a grant is one statement: it names the states it starts from, makes the next version, and
-- says in federation_grant_changes who did it and why. {status} is the state as of now.

-- name: status_now
CASE WHEN g.status IN ('pending', 'active', 'quarantined') AND g.expires_at <= now()
       OR g.status = 'pending' AND NOT EXISTS (
              SELECT FROM federation_enrollment_tokens AS t
              WHERE t.grant_id = g.id AND t.consumed_at IS NULL AND t.expires_at > now())
     THEN 'expired' ELSE g.status::text END

-- name: grants
SELECT g.id, g.subject_id, u.username AS subject, g.peer_name, g.peer_gateway, g.scope::text AS scope,
       {status} AS status, g.serial, g.not_after, g.created_by, g.created_at, g.activated_at, g.expires_at,
       g.revoked_at, g.revoked_by, g.reason, g.version, u.disabled_at IS NOT NULL AS subject_disabled,
       g.requests_per_minute, g.concurrency
FROM federation_grants AS g JOIN users AS u ON u.id = g.subject_id
WHERE ($1::uuid IS NULL OR g.id = $1) AND ($2::text IS NULL OR {status} = $2)
  AND ($3::text IS NULL OR g.peer_name = $3)
ORDER BY g.created_at, g.id

-- name: changes
SELECT version, change::text AS change, at, actor, reason FROM federation_grant_changes
WHERE grant_id = $1 ORDER BY version

-- name: create
WITH changed AS (
    INSERT INTO federation_grants (subject_id, peer_name, scope, created_by, expires_at, requests_per_minute, concurrency)
    VALUES ($1, $2, $3::jsonb, $4, ($3::jsonb ->> 'expires_at')::timestamptz, $5, $6)
    RETURNING id, version)
INSERT INTO federation_grant_changes (grant_id, version, change, actor)
SELECT id, version, 'created', $4 FROM changed RETURNING grant_id

-- name: update
WITH changed AS (
    UPDATE federation_grants AS g
    SET scope = coalesce($5::jsonb, g.scope), requests_per_minute = $6, concurrency = $7, version = g.version + 1,
        expires_at = CASE WHEN $5::jsonb IS NULL THEN g.expires_at ELSE ($5::jsonb ->> 'expires_at')::timestamptz END
    WHERE g.id = $1 AND {status} IN ('pending', 'active') AND g.version = $2
    RETURNING g.id, g.version)
INSERT INTO federation_grant_changes (grant_id, version, change, actor, reason)
SELECT id, version, 'updated', $3, $4 FROM changed RETURNING version

-- name: reissue
WITH changed AS (
    UPDATE federation_grants AS g
    SET status = CASE g.status WHEN 'expired' THEN 'pending' ELSE g.status END, version = g.version + 1
    WHERE g.id = $1 AND ({status} IN ('pending', 'active')
          OR g.status IN ('pending', 'expired') AND g.serial IS NULL
             AND (g.expires_at IS NULL OR g.expires_at > now()))
      AND ($2::integer IS NULL OR g.version = $2)
    RETURNING g.id, g.version)
INSERT INTO federation_grant_changes (grant_id, version, change, actor, reason)
SELECT id, version, 'reissued', $3, $4 FROM changed RETURNING version

-- name: release
WITH changed AS (
    UPDATE federation_grants AS g SET status = 'active', version = g.version + 1
    WHERE g.id = $1 AND {status} = 'quarantined' AND ($2::integer IS NULL OR g.version = $2)
    RETURNING g.id, g.version),
-- The wire is cut: whoever has the spent URL could trip it again and again, and says nothing new by it.
cut AS (
    UPDATE federation_enrollment_tokens AS t SET serial = NULL
    FROM changed WHERE t.grant_id = changed.id AND t.consumed_at IS NOT NULL)
INSERT INTO federation_grant_changes (grant_id, version, change, actor, reason)
SELECT id, version, 'released', $3, $4 FROM changed RETURNING version

-- name: revoke
WITH changed AS (
    UPDATE federation_grants AS g
    SET status = 'revoked', revoked_at = now(), revoked_by = $3, reason = $4, version = g.version + 1
    WHERE g.id = $1 AND g.status <> 'revoked' AND ($2::integer IS NULL OR g.version = $2)
    RETURNING g.id, g.version)
INSERT INTO federation_grant_changes (grant_id, version, change, actor, reason)
SELECT id, version, 'revoked', $3, $4 FROM changed RETURNING version

-- name: certificates_end
-- After the statement that locks the grant: one that waited for an enrollment would not see its certificate.
UPDATE federation_certificates SET ended_at = now()
WHERE grant_id = $1 AND (ended_at IS NULL OR ended_at > now())

-- name: expire
-- One that is changed meanwhile is left for the next time: with its lock in hand, this would still see the URLs of before.
WITH lapsed AS (
    SELECT g.id, g.version FROM federation_grants AS g WHERE g.status <> 'expired' AND {status} = 'expired'),
changed AS (
    UPDATE federation_grants AS g SET status = 'expired', version = g.version + 1
    FROM lapsed WHERE g.id = lapsed.id AND g.version = lapsed.version
    RETURNING g.id, g.version, g.subject_id, g.peer_name, g.expires_at),
recorded AS (
    INSERT INTO federation_grant_changes (grant_id, version, change, actor)
    SELECT id, version, 'expired', 'gateway' FROM changed)
SELECT id, subject_id, peer_name, version, expires_at FROM changed

-- name: token_create
INSERT INTO federation_enrollment_tokens (token_hash, grant_id, expires_at)
VALUES ($1, $2, now() + make_interval(secs => $3)) RETURNING expires_at

-- name: tokens_end
UPDATE federation_enrollment_tokens SET expires_at = now()
WHERE grant_id = $1 AND consumed_at IS NULL AND expires_at > now()

-- name: certificates_end_expired
-- A grant that was made to end earlier has a certificate that lasts longer.
UPDATE federation_certificates AS c SET ended_at = now() FROM federation_grants AS g
WHERE g.id = c.grant_id AND g.status = 'expired' AND (c.ended_at IS NULL OR c.ended_at > now())
  AND c.not_after > now()

-- name: tokens_forget
DELETE FROM federation_enrollment_tokens AS t
WHERE t.expires_at < now() - make_interval(days => $1)
  -- the URL of a certificate in use: a second use of it trips the wire, however late
  AND NOT EXISTS (SELECT FROM federation_grants AS g WHERE g.serial = t.serial AND g.status IN ('active', 'quarantined'))

-- name: rows_take
-- As many of them as are left: requests at the same time never have more together.
INSERT INTO federation_row_budgets AS b (grant_id, day, rows, latest)
VALUES ($1, $2, least($3::bigint, $4::bigint), least($3::bigint, $4::bigint))
ON CONFLICT (grant_id, day) DO UPDATE
SET rows = b.rows + least($3::bigint, $4::bigint - b.rows), latest = least($3::bigint, $4::bigint - b.rows)
WHERE b.rows < $4::bigint
RETURNING latest

-- name: rows_given
SELECT coalesce((SELECT rows FROM federation_row_budgets WHERE grant_id = $1 AND day = $2), 0)

-- name: rows_forget
DELETE FROM federation_row_budgets WHERE day < $1
