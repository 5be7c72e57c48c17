-- name: head_latest
-- The one that was kept first, of those of the highest number: what disagrees with it is evidence, not news.
SELECT number, payload, signature, key FROM federation_heads WHERE side = $1 AND grant_id = $2
ORDER BY number DESC, told_at LIMIT 1

-- name: head_numbered
SELECT payload FROM federation_heads WHERE side = $1 AND grant_id = $2 AND number = $3 ORDER BY told_at LIMIT 1

-- name: head_keep
INSERT INTO federation_heads (side, grant_id, number, payload, signature, key) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING

-- name: heads_of
SELECT h.number, h.payload, h.signature, h.key, h.told_at FROM federation_heads h
WHERE (h.side = 'giver' AND h.grant_id IN (SELECT grant_id FROM federation_peers WHERE name = $1 AND state <> 'removed'))
   OR (h.side = 'taker' AND h.grant_id IN (SELECT id FROM federation_grants WHERE peer_name = $1))
ORDER BY h.number DESC, h.told_at DESC LIMIT 1
