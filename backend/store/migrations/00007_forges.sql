-- Forges, the triggers at their events, and what they tell us. The words in
-- braces are those of 00001_first.sql.

ALTER TABLE runs ADD COLUMN origin TEXT; -- ci.Origin as JSON
-- What runs of one repository are found by; '' for runs without an origin.
ALTER TABLE runs ADD COLUMN origin_repo {name} NOT NULL DEFAULT ''; -- forge/number
ALTER TABLE runs ADD COLUMN origin_head {name} NOT NULL DEFAULT ''; -- the commit of the check
ALTER TABLE runs ADD COLUMN origin_line {name} NOT NULL DEFAULT ''; -- what newer runs supersede older ones of
CREATE INDEX runs_origin_head ON runs (origin_repo, origin_head, id) WHERE origin_repo <> '';
CREATE INDEX runs_origin_line ON runs (origin_repo, origin_line, id) WHERE origin_repo <> '';

CREATE TABLE forges (
    name       {name} PRIMARY KEY,
    kind       TEXT NOT NULL,
    url        TEXT NOT NULL,
    api        TEXT NOT NULL,
    app_id     BIGINT NOT NULL,
    slug       TEXT NOT NULL,
    sealed     {bytes} NOT NULL, -- ci.ForgeKeys as JSON
    version    BIGINT NOT NULL,
    created_at BIGINT,
    updated_at BIGINT
);

CREATE TABLE event_triggers (
    name          {name} PRIMARY KEY,
    forge         {name} NOT NULL,
    repository    {name} NOT NULL,
    repository_id BIGINT NOT NULL, -- 0 until the first event
    job           {name} NOT NULL,
    events        TEXT, -- this and the next are lists as JSON
    branches      TEXT,
    tags          TEXT,
    paths         TEXT,
    parameters    TEXT,
    priority      TEXT NOT NULL,
    forks         TEXT NOT NULL,
    supersede     BOOLEAN NOT NULL,
    version       BIGINT NOT NULL,
    created_at    BIGINT,
    updated_at    BIGINT
);
CREATE INDEX event_triggers_forge ON event_triggers (forge, name);
CREATE INDEX event_triggers_job   ON event_triggers (job);

-- Deliveries, in the order in which they came. A row without its body was
-- acted on; it stays so that the same delivery is not acted on again.
CREATE TABLE webhooks (
    seq         {serial},
    forge       {name} NOT NULL,
    id          {name} NOT NULL,
    event       TEXT NOT NULL,
    action      TEXT NOT NULL,
    repository  TEXT NOT NULL,
    body        {bytes},
    digest      {name} NOT NULL,
    received_at BIGINT,
    settled_at  BIGINT,
    tries       BIGINT NOT NULL,
    next_at     BIGINT,
    note        TEXT NOT NULL,
    runs        TEXT, -- []ci.RunRef as JSON
    holder      TEXT NOT NULL DEFAULT '',
    held_until  BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX webhooks_id ON webhooks (forge, id);
CREATE UNIQUE INDEX webhooks_digest ON webhooks (forge, digest) WHERE digest <> '';
CREATE INDEX webhooks_waiting ON webhooks (seq) WHERE settled_at IS NULL;
CREATE INDEX webhooks_received ON webhooks (received_at);
