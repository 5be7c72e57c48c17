-- What a grant's peer may ask for, beside what it may see. NULL: what the config says for every grant.
ALTER TABLE federation_grants
    ADD COLUMN requests_per_minute integer CHECK (requests_per_minute BETWEEN 1 AND 6000000),
    ADD COLUMN concurrency         integer CHECK (concurrency BETWEEN 1 AND 1000);
