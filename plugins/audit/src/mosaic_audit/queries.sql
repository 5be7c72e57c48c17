-- name: append
-- A server, role or database with synchronous_commit=off answers before a row is safe: not here. What else it may say
-- is safe enough, and the operator's choice.
INSERT INTO federation_audit_log
SELECT r.stream, r.seq, r.at, r.peer, r.grant_id, r.subject_id, r.serial, r.verb, r.resource, r.query_hash,
       r.outcome, r.rows, r.bytes_out, r.latency_us, r.request_id, e.payload, e.prev, e.hash,
       coalesce(r.trace_id, ''), coalesce(r.direction, 'answered')
FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS e (payload, prev, hash),
     jsonb_populate_record(NULL::federation_audit_log, e.payload::jsonb) AS r
WHERE CASE current_setting('synchronous_commit') WHEN 'off'
      THEN set_config('synchronous_commit', 'on', true) IS NOT NULL ELSE true END

-- name: cover
SELECT federation_audit_log_cover($1)

-- name: standing
-- What of the server's settings may lose rows in a crash, and the table of this month if it is no partition.
SELECT ARRAY(SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')
             AND setting = 'off' ORDER BY name) AS off,
       (SELECT relname::text FROM pg_class WHERE oid = to_regclass(
           'federation_audit_log_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')) AND NOT relispartition) AS detached

-- name: latest
SELECT * FROM ($found ORDER BY at DESC, stream DESC, seq DESC LIMIT $12) AS latest ORDER BY at, stream, seq

-- name: following
$found AND (at, stream, seq) > ($12, $13::uuid, $14::bigint) ORDER BY at, stream, seq LIMIT $15

-- name: first
$found ORDER BY at, stream, seq LIMIT $12

-- name: found
SELECT * FROM federation_audit_log
WHERE ($1::text IS NULL OR peer = $1) AND ($2::uuid IS NULL OR grant_id = $2)
  AND ($3::uuid IS NULL OR subject_id = $3) AND ($4::text IS NULL OR resource = $4)
  AND ($5::text IS NULL OR verb = $5) AND ($6::text IS NULL OR outcome = $6)
  AND ($7::text IS NULL OR trace_id = $7) AND ($8::text IS NULL OR request_id = $8)
  AND ($9::text IS NULL OR direction = $9)
  AND at >= coalesce($10::timestamptz, '-infinity') AND at < coalesce($11::timestamptz, 'infinity')

-- name: streams
-- Each step finds the next stream in the index: as many steps as streams, not as rows.
WITH RECURSIVE written (stream) AS (
    (SELECT stream FROM federation_audit_log ORDER BY stream LIMIT 1)
    UNION ALL
    SELECT (SELECT l.stream FROM federation_audit_log l WHERE l.stream > w.stream ORDER BY l.stream LIMIT 1)
    FROM written w WHERE w.stream IS NOT NULL
)
SELECT stream FROM written WHERE stream IS NOT NULL UNION SELECT stream FROM federation_audit_spans ORDER BY stream

-- name: rows
SELECT * FROM federation_audit_log WHERE stream = $1 AND (seq, at) > ($2, coalesce($3::timestamptz, 'infinity'))
ORDER BY seq, at LIMIT $4

-- name: uncovered
-- Streams with rows that no checkpoint covers yet, and the row each is covered up to.
WITH RECURSIVE written (stream) AS (
    (SELECT stream FROM federation_audit_log ORDER BY stream LIMIT 1)
    UNION ALL
    SELECT (SELECT l.stream FROM federation_audit_log l WHERE l.stream > w.stream ORDER BY l.stream LIMIT 1)
    FROM written w WHERE w.stream IS NOT NULL
)
SELECT w.stream, coalesce(s.last, 0) AS covered
FROM written w
LEFT JOIN LATERAL (
    SELECT last FROM federation_audit_spans WHERE stream = w.stream AND NOT retired ORDER BY last DESC LIMIT 1
) AS s ON true
WHERE w.stream IS NOT NULL AND EXISTS (
    SELECT FROM federation_audit_log l WHERE l.stream = w.stream AND l.seq > coalesce(s.last, 0))
ORDER BY w.stream

-- name: hashes
SELECT seq, hash FROM federation_audit_log WHERE stream = $1 AND seq > $2 ORDER BY seq, at LIMIT $3

-- name: key
SELECT id, public_key, sealed_key FROM federation_audit_keys

-- name: add_key
INSERT INTO federation_audit_keys (id, public_key, sealed_key) VALUES ($1, $2, $3)

-- name: lock_checkpoints
LOCK TABLE federation_audit_checkpoints IN SHARE ROW EXCLUSIVE MODE

-- name: head
SELECT number, at, payload, signature FROM federation_audit_checkpoints ORDER BY number DESC LIMIT 1

-- name: checkpoint
SELECT number, at, payload, signature FROM federation_audit_checkpoints WHERE number = $1

-- name: checkpoints
SELECT number, at, payload, signature FROM federation_audit_checkpoints WHERE number > $1 ORDER BY number LIMIT $2

-- name: add_checkpoint
-- Peers are told of it: a crash must not take it back.
INSERT INTO federation_audit_checkpoints (number, at, payload, signature)
SELECT $1::bigint, $2::timestamptz, $3::text, $4::bytea
WHERE CASE current_setting('synchronous_commit') WHEN 'off'
      THEN set_config('synchronous_commit', 'on', true) IS NOT NULL ELSE true END

-- name: add_span
INSERT INTO federation_audit_spans (checkpoint, stream, first, last, head, root, retired)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: spans_of_checkpoints
SELECT * FROM federation_audit_spans WHERE checkpoint > $1 AND checkpoint <= $2

-- name: spans_of_stream
SELECT * FROM federation_audit_spans WHERE stream = $1 ORDER BY checkpoint, retired, last

-- name: stray_span
SELECT min(checkpoint) FROM federation_audit_spans s
WHERE NOT EXISTS (SELECT FROM federation_audit_checkpoints c WHERE c.number = s.checkpoint)

-- name: latest_retirement
SELECT max(checkpoint) FROM federation_audit_spans WHERE retired

-- name: checkpoint_before
SELECT coalesce(max(number), 0) FROM federation_audit_checkpoints WHERE at < $1

-- name: one_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ

-- name: impatient
SET LOCAL lock_timeout = '2s'

-- name: retire_alone
SELECT pg_try_advisory_xact_lock(hashtextextended('federation_audit_log retire', 0))

-- name: past_partitions
-- Partitions that end at or before a moment, oldest first. Not in the hour after its end: what belongs to a month
-- may still be on its way into it.
SELECT * FROM (
    SELECT c.relname::text AS name,
           substring(pg_get_expr(c.relpartbound, c.oid) FROM $re$TO \('([^']+)'\)$re$)::timestamptz AS ends
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass('federation_audit_log')
) AS each WHERE ends <= least($1, now() - interval '1 hour') ORDER BY ends

-- name: last_before
-- The last row of each stream before a moment, what it is covered up to, and whether an earlier row came later.
WITH RECURSIVE written (stream) AS (
    (SELECT stream FROM federation_audit_log WHERE at < $1 ORDER BY stream LIMIT 1)
    UNION ALL
    SELECT (SELECT l.stream FROM federation_audit_log l WHERE l.stream > w.stream AND l.at < $1
            ORDER BY l.stream LIMIT 1)
    FROM written w WHERE w.stream IS NOT NULL
)
SELECT l.stream, l.seq AS last, l.hash AS head, coalesce(s.last, 0) >= l.seq AS covered,
       EXISTS (SELECT FROM federation_audit_log x WHERE x.stream = l.stream AND x.seq < l.seq AND x.at >= $1)
       AS out_of_order
FROM written w
CROSS JOIN LATERAL (
    SELECT stream, seq, hash FROM federation_audit_log WHERE stream = w.stream AND at < $1
    ORDER BY seq DESC LIMIT 1
) AS l
LEFT JOIN LATERAL (
    SELECT last FROM federation_audit_spans WHERE stream = w.stream AND NOT retired ORDER BY last DESC LIMIT 1
) AS s ON true
WHERE NOT EXISTS (
    SELECT FROM federation_audit_spans g WHERE g.stream = l.stream AND g.retired AND g.last >= l.seq)
ORDER BY l.stream
