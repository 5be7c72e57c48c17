-- This gateway as the one that is shared with.

-- name: renewal_claim
-- One process renews at a time; if it dies, another one goes on $3 seconds later.
UPDATE federation_peers SET renewal_retry_at = now() + make_interval(secs => $3)
WHERE id = $1 AND serial = $2 AND state <> 'removed' AND (renewal_retry_at IS NULL OR renewal_retry_at <= now())
RETURNING id

-- name: renewal_begin
-- The key is kept before it is sent; one that is there was sent before, and its answer may have been lost.
UPDATE federation_peers SET sealed_next_key = coalesce(sealed_next_key, $3)
WHERE id = $1 AND serial = $2 AND state <> 'removed' RETURNING sealed_next_key

-- name: renewal_keep
-- $6 is the key that was sent; sealed_next_key may be another one by now, or sealed anew.
UPDATE federation_peers
SET chain = $3, serial = $4, not_after = $5, sealed_key = $6, sealed_next_key = NULL, renewed_at = now(),
    renewal_failures = 0, renewal_failure = NULL, renewal_retry_at = NULL
WHERE id = $1 AND serial = $2 AND state <> 'removed' RETURNING id

-- name: renewal_failed
-- Tried again after 1, 2, 4 minutes and so on, $5 seconds at most. $4: the key that was sent is of no use.
UPDATE federation_peers
SET renewal_failures = renewal_failures + 1, renewal_failure = $3,
    renewal_retry_at = now() + make_interval(
        secs => least($5, 60 * power(2, least(renewal_failures, 30))) * (0.8 + 0.2 * random())),
    sealed_next_key = CASE WHEN $4 THEN NULL ELSE sealed_next_key END
WHERE id = $1 AND serial = $2 AND state <> 'removed'

-- name: capabilities_keep
UPDATE federation_peers SET capabilities = $2::jsonb, capabilities_at = now(), capabilities_for = $3
WHERE id = $1 AND state <> 'removed'

-- name: capabilities_asking
UPDATE federation_peers SET capabilities_at = now(), capabilities_for = $2 WHERE id = $1 AND state <> 'removed'
