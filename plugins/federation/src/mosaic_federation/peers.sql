-- name: peers
SELECT id, name, state::text AS state, gateway, url, grant_id, subject_id, subject, scope::text AS scope, ca,
       chain, sealed_key, serial, not_after, oid_arc, readers::text AS readers, refusal, refused_at, added_by,
       created_at, answered_at, failures, failure, retry_at, renewed_at, renewal_failures, renewal_failure,
       renewal_retry_at, capabilities::text AS capabilities, capabilities_at, capabilities_for
FROM federation_peers WHERE state <> 'removed' AND ($1::text IS NULL OR name = $1) ORDER BY name

-- name: peer_create
INSERT INTO federation_peers (id, name, gateway, url, grant_id, subject_id, subject, scope, ca, chain,
                              sealed_key, serial, not_after, oid_arc, readers, added_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (name) WHERE state <> 'removed' DO NOTHING
RETURNING id

-- name: peer_heard
UPDATE federation_peers SET state = 'active', refusal = NULL, refused_at = NULL, scope = $2::jsonb,
                            answered_at = now(), failures = 0, failure = NULL, retry_at = NULL
WHERE id = $1 AND state <> 'removed'

-- name: peer_answers
UPDATE federation_peers SET refusal = NULL, refused_at = NULL,
                            answered_at = now(), failures = 0, failure = NULL, retry_at = NULL
WHERE id = $1

-- name: peer_refused
UPDATE federation_peers SET refusal = $2, refused_at = now(),
                            answered_at = now(), failures = 0, failure = NULL, retry_at = NULL
WHERE id = $1 AND serial = $3 AND state <> 'removed'

-- name: peer_failed
-- $3 failures in a row open the breaker, each further one for twice as long, $4 seconds at most. Of several that
-- were under way together only the first counts once it is open: the others saw another number than is there now.
UPDATE federation_peers
SET failures = failures + 1, failure = $2,
    retry_at = CASE WHEN failures + 1 >= $3 THEN
        now() + make_interval(secs => least($4, power(2, least(failures + 1 - $3, 30))) * (0.8 + 0.2 * random()))
    END
WHERE id = $1 AND state <> 'removed' AND (failures < $3 OR failures = $5)

-- name: peer_try
-- One of all processes' requests goes first when the time has come; the others wait $2 seconds for what it meets.
UPDATE federation_peers SET retry_at = now() + make_interval(secs => $2) WHERE id = $1 AND retry_at <= now()
RETURNING id

-- name: peer_came
-- Whoever asks us is up; a name proves nothing of who it is, but all that follows from it is that it is asked.
UPDATE federation_peers SET failures = 0, retry_at = NULL, renewal_retry_at = NULL
WHERE (name = $1 OR gateway = $1) AND retry_at IS NOT NULL AND state <> 'removed'

-- name: answer_find
SELECT sealed_body, extract(epoch FROM now() - answered_at)::float8 AS age FROM federation_peer_answers
WHERE key = $1 AND answered_at > now() - make_interval(secs => $2)

-- name: answer_keep
-- The lock lets no answer of before a refusal be kept after it. The oldest of the peer's others go, so that with this one
-- it has $6 answers and $7 bytes at most.
WITH kept AS (
    INSERT INTO federation_peer_answers (key, peer_id, path, sealed_body)
    SELECT $1, id, $3, $4 FROM federation_peers
    WHERE id = $2 AND serial = $5 AND state <> 'removed' AND refusal IS NULL FOR SHARE
    ON CONFLICT (key) DO UPDATE SET sealed_body = excluded.sealed_body, answered_at = now())
DELETE FROM federation_peer_answers WHERE key IN (
    SELECT key FROM (
        SELECT key, row_number() OVER w AS place, sum(length(sealed_body)) OVER w AS bytes
        FROM federation_peer_answers WHERE peer_id = $2 AND key <> $1
        WINDOW w AS (ORDER BY answered_at DESC, key ROWS UNBOUNDED PRECEDING)
    ) others
    WHERE place >= $6 OR bytes > $7 - length($4::bytea))

-- name: answers_forget
DELETE FROM federation_peer_answers WHERE peer_id = $1

-- name: answers_forget_path
DELETE FROM federation_peer_answers WHERE peer_id = $1 AND (path = $2 OR starts_with(path, $2 || '/'))

-- name: answers_forget_old
DELETE FROM federation_peer_answers WHERE answered_at < now() - make_interval(secs => $1)

-- name: peer_remove
UPDATE federation_peers SET state = 'removed', sealed_key = NULL, sealed_next_key = NULL, removed_at = now()
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
