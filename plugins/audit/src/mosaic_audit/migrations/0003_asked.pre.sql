-- What this gateway asked of its peers is on record too: a row says who asked whom.
ALTER TABLE federation_audit_log ADD COLUMN direction text NOT NULL DEFAULT 'answered';

-- What one grant was given, or was asked with one, is looked up by either side.
CREATE INDEX federation_audit_log_grant ON federation_audit_log (grant_id, at);
