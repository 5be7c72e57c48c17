-- name: enqueue
INSERT INTO local_jobs (name, data, attempts, backoff, timeout, run_at)
VALUES ($1, $2::jsonb, $3, $4, $5, now() + make_interval(secs => $6)) RETURNING id;

-- name: claim
UPDATE local_jobs SET attempt = attempt + 1, run_at = now() + make_interval(secs => timeout + 5)
WHERE id = (SELECT id FROM local_jobs WHERE failed_at IS NULL AND run_at <= now() AND attempt < attempts
            ORDER BY run_at FOR UPDATE SKIP LOCKED LIMIT 1)
RETURNING id, name, data::text AS data, attempt;

-- name: bury
UPDATE local_jobs SET failed_at = now(), error = 'the process that ran it died'
WHERE failed_at IS NULL AND run_at <= now() AND attempt >= attempts;

-- name: done
DELETE FROM local_jobs WHERE id = $1 AND attempt = $2;

-- name: attempt_failed
UPDATE local_jobs SET error = $3, run_at = now() + make_interval(secs => backoff * 2 ^ (attempt - 1)),
                      failed_at = CASE WHEN attempt >= attempts THEN now() END
WHERE id = $1 AND attempt = $2;

-- name: failed
SELECT id::text AS id, name AS job, attempt AS attempts, error, failed_at FROM local_jobs
WHERE failed_at IS NOT NULL ORDER BY failed_at DESC, id DESC;

-- name: waiting
SELECT count(*) FROM local_jobs WHERE failed_at IS NULL;

-- name: retry
UPDATE local_jobs SET failed_at = NULL, error = NULL, attempt = 0, run_at = now()
WHERE id::text = $1 AND failed_at IS NOT NULL RETURNING id;

-- name: forget_failed
DELETE FROM local_jobs WHERE failed_at < now() - interval '30 days';

-- name: schedule
INSERT INTO local_job_schedules (name, every, next_at) VALUES ($1, $2, now())
ON CONFLICT (name) DO UPDATE SET every = excluded.every,
    next_at = least(local_job_schedules.next_at, now() + make_interval(secs => excluded.every));

-- name: unschedule_others
DELETE FROM local_job_schedules WHERE name <> ALL ($1::text[]);

-- name: due_schedules
UPDATE local_job_schedules SET next_at = now() + make_interval(secs => every)
WHERE next_at <= now() AND name = ANY ($1::text[]) RETURNING name;
