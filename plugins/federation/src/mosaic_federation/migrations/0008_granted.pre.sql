-- requires: core>=4

-- What the policies of the tables of resources go by: see 0004_peers of core.
CREATE OR REPLACE FUNCTION granted(grant_id uuid) RETURNS TABLE (subject uuid, scope jsonb)
LANGUAGE sql STABLE AS $$
    SELECT g.subject_id, g.scope FROM federation_grants g JOIN users u ON u.id = g.subject_id
    WHERE g.id = grant_id AND g.status = 'active' AND u.disabled_at IS NULL
      AND (g.expires_at > now() OR g.expires_at IS NULL AND g.scope ->> 'expires_at' IS NULL)
$$;
