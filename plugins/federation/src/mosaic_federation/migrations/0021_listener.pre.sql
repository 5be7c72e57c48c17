-- What the listener for peers goes by beside its own certificate, and how its processes hear that any of it changed.
CREATE TABLE federation_revocation_lists (
    root        bytea       PRIMARY KEY CHECK (length(root) = 32),  -- SHA-256 of the authority's root
    list        bytea,                                              -- DER; NULL: this authority keeps none
    this_update timestamptz NOT NULL,                               -- of the list; else when the authority was asked
    CHECK (list IS NULL OR length(list) > 0)
);

CREATE FUNCTION federation_listener_news() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY federation_listener;
    RETURN NULL;
END $$;

CREATE TRIGGER federation_listener_news AFTER UPDATE OR DELETE ON federation_grants
    FOR EACH STATEMENT EXECUTE FUNCTION federation_listener_news();
CREATE TRIGGER federation_listener_news AFTER UPDATE OF disabled_at ON users
    FOR EACH STATEMENT EXECUTE FUNCTION federation_listener_news();
CREATE TRIGGER federation_listener_news AFTER INSERT OR UPDATE ON federation_server_identity
    FOR EACH STATEMENT EXECUTE FUNCTION federation_listener_news();
CREATE TRIGGER federation_listener_news AFTER INSERT OR UPDATE ON federation_revocation_lists
    FOR EACH STATEMENT EXECUTE FUNCTION federation_listener_news();
