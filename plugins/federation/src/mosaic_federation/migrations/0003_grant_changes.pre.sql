-- Who changed a grant, when and why. Each change makes one version of the grant, and one row here.
CREATE TYPE grant_change AS ENUM
    ('created', 'enrolled', 'updated', 'reissued', 'quarantined', 'released', 'revoked', 'expired');

CREATE TABLE federation_grant_changes (
    grant_id uuid         NOT NULL REFERENCES federation_grants ON DELETE CASCADE,
    version  integer      NOT NULL,  -- of the grant, from this change on
    change   grant_change NOT NULL,
    at       timestamptz  NOT NULL DEFAULT now(),
    actor    text         NOT NULL,
    reason   text,
    PRIMARY KEY (grant_id, version)
);

-- What the columns still tell of the changes until now: created is version 1, enrolled version 2.
INSERT INTO federation_grant_changes (grant_id, version, change, at, actor)
SELECT id, 1, 'created', created_at, created_by FROM federation_grants;

INSERT INTO federation_grant_changes (grant_id, version, change, at, actor)
SELECT id, 2, 'enrolled', activated_at, 'peer:' || coalesce(peer_gateway, peer_name)
FROM federation_grants WHERE activated_at IS NOT NULL;

INSERT INTO federation_grant_changes (grant_id, version, change, at, actor, reason)
SELECT id, version, 'revoked', revoked_at, revoked_by, reason FROM federation_grants WHERE status = 'revoked';

INSERT INTO federation_grant_changes (grant_id, version, change, at, actor)
SELECT id, version, 'expired', coalesce(expires_at, now()), 'gateway' FROM federation_grants WHERE status = 'expired';

-- The end of a grant belongs to its scope; the column repeats it for queries.
UPDATE federation_grants
SET scope = scope || jsonb_build_object('expires_at', to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
WHERE expires_at IS NOT NULL;

-- Nothing is in a list twice any more.
UPDATE federation_grants
SET scope = jsonb_set(scope, '{resources}',
                      (SELECT jsonb_agg(DISTINCT v) FROM jsonb_array_elements(scope -> 'resources') AS v))
WHERE jsonb_array_length(scope -> 'resources')
      <> (SELECT count(DISTINCT v) FROM jsonb_array_elements(scope -> 'resources') AS v);

UPDATE federation_grants
SET scope = jsonb_set(scope, '{excluded_resources}',
                      (SELECT jsonb_agg(DISTINCT v) FROM jsonb_array_elements(scope -> 'excluded_resources') AS v))
WHERE jsonb_array_length(scope -> 'excluded_resources')
      <> (SELECT count(DISTINCT v) FROM jsonb_array_elements(scope -> 'excluded_resources') AS v);

UPDATE federation_grants
SET scope = jsonb_set(scope, '{include_teams}',
                      (SELECT jsonb_agg(DISTINCT v) FROM jsonb_array_elements(scope -> 'include_teams') AS v))
WHERE CASE jsonb_typeof(scope -> 'include_teams') WHEN 'array'
           THEN jsonb_array_length(scope -> 'include_teams')
                <> (SELECT count(DISTINCT v) FROM jsonb_array_elements(scope -> 'include_teams') AS v)
           ELSE false END;

-- A quarantined grant keeps its certificate, on record and refused.
ALTER TABLE federation_grants ADD CONSTRAINT federation_grants_quarantined_check
    CHECK (status <> 'quarantined' OR (serial IS NOT NULL AND not_after IS NOT NULL AND activated_at IS NOT NULL));
