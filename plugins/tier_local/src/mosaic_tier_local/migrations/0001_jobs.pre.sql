-- A job until it is done. While one runs, run_at is when it is given up for lost: then another worker may take it.
CREATE TABLE local_jobs (
    id        bigint           GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      text             NOT NULL,
    data      jsonb            NOT NULL,
    attempts  integer          NOT NULL CHECK (attempts > 0),  -- at most
    backoff   double precision NOT NULL,                       -- seconds before the second attempt
    timeout   double precision NOT NULL,                       -- seconds for one attempt
    attempt   integer          NOT NULL DEFAULT 0,             -- begun so far
    run_at    timestamptz      NOT NULL,
    failed_at timestamptz,
    error     text,
    CHECK ((failed_at IS NULL) OR (error IS NOT NULL))
);
CREATE INDEX local_jobs_due ON local_jobs (run_at) WHERE failed_at IS NULL;

CREATE TABLE local_job_schedules (
    name    text             PRIMARY KEY,
    every   double precision NOT NULL CHECK (every > 0),  -- seconds
    next_at timestamptz      NOT NULL
);
