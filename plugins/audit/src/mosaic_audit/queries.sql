-- name: append
INSERT INTO federation_audit_log
SELECT r.stream, r.seq, r.at, r.peer, r.grant_id, r.subject_id, r.serial, r.verb, r.resource, r.query_hash,
       r.outcome, r.rows, r.bytes_out, r.latency_us, r.request_id, e.payload, e.prev, e.hash
FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS e (payload, prev, hash),
     jsonb_populate_record(NULL::federation_audit_log, e.payload::jsonb) AS r

-- name: tail
SELECT * FROM (SELECT * FROM federation_audit_log ORDER BY at DESC, stream, seq DESC LIMIT $1) AS latest
ORDER BY at, stream, seq

-- name: page
SELECT * FROM federation_audit_log WHERE (stream, seq) > ($1, $2) ORDER BY stream, seq LIMIT $3
