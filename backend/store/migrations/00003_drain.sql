-- A drain says what becomes of runs at its deadline and who ordered it, and an
-- agent whose own process was told to end says so. The words in braces are
-- those of 00001_first.sql.

ALTER TABLE drains ADD COLUMN at_deadline {name} NOT NULL DEFAULT 'abort'; -- ci.DrainThen
ALTER TABLE drains ADD COLUMN ordered_by TEXT NOT NULL DEFAULT '';

ALTER TABLE agents ADD COLUMN leaving TEXT; -- ci.Drain as JSON

-- The oldest program that may use this schema, told by the newest version that
-- it knows; see migrate.go. One row.
CREATE TABLE schema_users (oldest BIGINT NOT NULL);
INSERT INTO schema_users (oldest) VALUES (0);
