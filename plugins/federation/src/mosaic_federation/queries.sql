-- name: admission
SELECT g.id, g.subject_id, u.username AS subject, u.disabled_at IS NOT NULL AS subject_disabled, g.peer_name,
       g.scope::text AS scope, g.status::text AS status, g.serial, g.expires_at,
       g.requests_per_minute, g.concurrency,
       c.serials, c.keys, c.ends  -- of its certificate, of the next one, and of the one before while that is let in
FROM federation_grants AS g JOIN users AS u ON u.id = g.subject_id
     CROSS JOIN LATERAL (
         SELECT array_agg(c.serial) AS serials, array_agg(c.key_sha256) AS keys, array_agg(c.ended_at) AS ends
         FROM federation_certificates AS c
         WHERE c.grant_id = g.id
           AND (c.serial = g.serial OR c.renews = g.serial AND c.ended_at IS NULL OR c.ended_at > now())) AS c
WHERE g.id = $1

-- name: server_identity
SELECT chain, sealed_key, not_after FROM federation_server_identity WHERE host = $1

-- name: server_identity_store
-- Takes the place of the one that was seen, which ends at $5, and of no other: two processes keep one.
INSERT INTO federation_server_identity AS known (host, chain, sealed_key, not_after) VALUES ($1, $2, $3, $4)
ON CONFLICT (host) DO UPDATE
SET chain = excluded.chain, sealed_key = excluded.sealed_key, not_after = excluded.not_after
WHERE known.not_after = $5

-- name: has_peer_wall
SELECT to_regprocedure('peer_wall(text[])') IS NOT NULL

-- name: peer_wall
SELECT role, owner, usable, complete, may_create, indexed FROM peer_wall(NULL)
