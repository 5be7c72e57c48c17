-- A value that is added can be used only after the transaction that added it: so this file is all of it.
ALTER TYPE grant_status ADD VALUE 'quarantined' AFTER 'active';
