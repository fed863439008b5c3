-- Who keeps a job as code. The words in braces are those of 00001_first.sql.

ALTER TABLE jobs ADD COLUMN owner {name} NOT NULL DEFAULT '';
