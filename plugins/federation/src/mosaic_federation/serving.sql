-- name: revocation_list
SELECT list FROM federation_revocation_lists WHERE root = $1

-- name: revocation_list_store
-- An older list never takes the place of a newer one, and the same one is no news.
INSERT INTO federation_revocation_lists AS known (root, list, this_update) VALUES ($1, $2, $3)
ON CONFLICT (root) DO UPDATE SET list = excluded.list, this_update = excluded.this_update
WHERE known.this_update <= excluded.this_update AND known.list IS DISTINCT FROM excluded.list

-- name: not_admitted
SELECT serial FROM unnest($1::text[]) AS serial
WHERE NOT EXISTS (
    SELECT FROM federation_certificates AS c JOIN federation_grants AS g ON g.id = c.grant_id
         JOIN users AS u ON u.id = g.subject_id
    WHERE c.serial = serial.serial
      AND (c.serial = g.serial OR c.renews = g.serial AND c.ended_at IS NULL OR c.ended_at > now())
      AND g.status = 'active' AND u.disabled_at IS NULL
      AND (g.expires_at IS NULL OR g.expires_at > now()))
