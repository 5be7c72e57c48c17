-- name: user_by_name
SELECT id, username, role = 'admin' AS admin FROM users WHERE lower(username) = lower($1) AND disabled_at IS NULL;

-- name: user_by_id
SELECT id, username, role = 'admin' AS admin FROM users WHERE id = $1 AND disabled_at IS NULL;

-- name: teams_of
SELECT t.id, t.slug, t.name FROM memberships m JOIN teams t ON t.id = m.team_id WHERE m.user_id = $1 ORDER BY t.slug;

-- name: add_user
INSERT INTO users (username, display_name, role) VALUES ($1, $2, $3::text::user_role)
RETURNING id, username, display_name, role::text, created_at, disabled_at;

-- name: users
SELECT id, username, display_name, role::text, created_at, disabled_at FROM users ORDER BY lower(username);

-- name: disable_user
UPDATE users SET disabled_at = coalesce(disabled_at, now()) WHERE lower(username) = lower($1)
RETURNING id, username, display_name, role::text, created_at, disabled_at;

-- name: add_team
INSERT INTO teams (slug, name) VALUES ($1, $2) RETURNING id, slug, name, created_at;

-- name: teams
SELECT id, slug, name, created_at FROM teams ORDER BY slug;

-- name: team_id
SELECT id FROM teams WHERE slug = $1;

-- name: add_member
INSERT INTO memberships (team_id, user_id, role) VALUES ($1, $2, $3::text::user_role)
ON CONFLICT (team_id, user_id) DO UPDATE SET role = excluded.role
RETURNING role::text, created_at;

-- name: remove_member
DELETE FROM memberships m USING users u
WHERE m.team_id = $1 AND u.id = m.user_id AND lower(u.username) = lower($2)
RETURNING m.user_id;

-- name: members
SELECT t.slug AS team, u.username, m.role::text, m.created_at
FROM memberships m JOIN teams t ON t.id = m.team_id JOIN users u ON u.id = m.user_id
WHERE m.team_id = $1 ORDER BY lower(u.username);

-- name: create_token
INSERT INTO api_tokens (user_id, name, prefix, hash, expires_at) VALUES ($1, $2, $3, $4, now() + $5::interval)
RETURNING expires_at;

-- name: tokens
SELECT t.prefix, t.name, u.username, t.created_at, t.expires_at, t.last_used_at, t.revoked_at
FROM api_tokens t JOIN users u ON u.id = t.user_id
WHERE $1::uuid IS NULL OR t.user_id = $1 ORDER BY t.created_at, t.prefix;

-- name: revoke_token
UPDATE api_tokens t SET revoked_at = coalesce(t.revoked_at, now()) FROM users u
WHERE t.prefix = $1 AND u.id = t.user_id
RETURNING t.prefix, t.name, u.username, t.created_at, t.expires_at, t.last_used_at, t.revoked_at;

-- name: find_token
SELECT t.hash, t.revoked_at IS NOT NULL AS revoked, extract(epoch FROM t.expires_at - now()) AS seconds_left,
       u.disabled_at IS NOT NULL AS disabled,
       coalesce(t.last_used_at <= now() - interval '1 minute', true) AS touch,
       u.id, u.username, u.role = 'admin' AS admin
FROM api_tokens t JOIN users u ON u.id = t.user_id WHERE t.prefix = $1;

-- name: touch_token
UPDATE api_tokens SET last_used_at = now()
WHERE prefix = $1 AND coalesce(last_used_at <= now() - interval '1 minute', true);
