-- requires: core>=1

-- What the gate keeps of a grant is forgotten in every process when this is heard, with the change that says it.
CREATE FUNCTION federation_grant_news() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('federation_grants', CASE TG_TABLE_NAME
        WHEN 'federation_grants' THEN to_jsonb(OLD) ->> 'id'
        WHEN 'federation_certificates' THEN to_jsonb(coalesce(NEW, OLD)) ->> 'grant_id'
        ELSE '' END);  -- a user: all of them
    RETURN NULL;
END $$;

CREATE TRIGGER news AFTER UPDATE OR DELETE ON federation_grants
    FOR EACH ROW EXECUTE FUNCTION federation_grant_news();
CREATE TRIGGER news AFTER INSERT OR UPDATE OR DELETE ON federation_certificates
    FOR EACH ROW EXECUTE FUNCTION federation_grant_news();
CREATE TRIGGER federation_grant_news AFTER UPDATE OF disabled_at, username OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION federation_grant_news();
