-- Secrets, key pairs, registries; what a run ran in, and who triggered it. The
-- words in braces are those of 00001_first.sql.

ALTER TABLE agents ADD COLUMN warnings TEXT; -- []string as JSON

ALTER TABLE jobs ADD COLUMN triggers TEXT; -- []string as JSON: the jobs that its runs may trigger

ALTER TABLE runs ADD COLUMN parent_job {name} NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN parent_run BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN steps      TEXT; -- []ci.Step as JSON
ALTER TABLE runs ADD COLUMN images     TEXT; -- []ci.RunImage as JSON
ALTER TABLE runs ADD COLUMN token_hash TEXT NOT NULL DEFAULT ''; -- of the token of its script
CREATE INDEX runs_parent ON runs (parent_run, id) WHERE parent_run <> 0;

-- Sealed values are AEAD ciphertexts, bound to the names that stand beside them.
CREATE TABLE secrets (
    job        {name} NOT NULL,
    name       {name} NOT NULL,
    sealed     {bytes} NOT NULL,
    version    BIGINT NOT NULL,
    updated_at BIGINT,
    updated_by TEXT NOT NULL,
    PRIMARY KEY (job, name)
);

CREATE TABLE registries (
    host       {name} PRIMARY KEY,
    username   TEXT NOT NULL,
    sealed     {bytes} NOT NULL,
    updated_at BIGINT,
    updated_by TEXT NOT NULL
);

CREATE TABLE ssh_keys (
    name        {name} PRIMARY KEY,
    public_key  TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    sealed      {bytes} NOT NULL,
    hosts       TEXT, -- []ci.HostKey as JSON
    created_at  BIGINT,
    version     BIGINT NOT NULL
);
