-- name: provisioner
SELECT name, sealed_key FROM step_ca_provisioners WHERE purpose = $1

-- name: provisioners
SELECT purpose, name, kid FROM step_ca_provisioners ORDER BY purpose

-- name: store_provisioner
INSERT INTO step_ca_provisioners (purpose, name, kid, sealed_key) VALUES ($1, $2, $3, $4)

-- name: root
SELECT certificate FROM step_ca_roots WHERE fingerprint = $1

-- name: store_root
INSERT INTO step_ca_roots (fingerprint, certificate) VALUES ($1, $2) ON CONFLICT DO NOTHING

-- name: lock_provisioners
LOCK TABLE step_ca_provisioners IN EXCLUSIVE MODE

-- name: forget_provisioners
DELETE FROM step_ca_provisioners
