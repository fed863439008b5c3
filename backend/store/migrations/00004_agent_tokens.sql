-- Agents that have an URL and a token alone. The words in braces are those of
-- 00001_first.sql.

ALTER TABLE tokens ADD COLUMN agent {name} NOT NULL DEFAULT ''; -- whom a token of role agent speaks for

-- A claim holds one run, whoever makes it a second time, and on which cid.
CREATE UNIQUE INDEX runs_claim ON runs (claim) WHERE status = 'in_progress' AND claim <> '';
