-- The first schema. One text for SQLite and Postgres; four words stand for what
-- the engines call differently (see dialect.go): {serial} a key that only grows,
-- {seq} the key of an event, {name} text that is compared byte by byte, {bytes}.
--
-- Times are whole microseconds since 1970 in UTC: exact, small, and compared as
-- numbers. NULL is "never". To read one: datetime(x/1e6, 'unixepoch') in SQLite,
-- to_timestamp(x/1e6) in Postgres. Columns with JSON are TEXT.

CREATE TABLE jobs (
    name        {name} PRIMARY KEY,
    git         TEXT,            -- ci.Git as JSON, NULL for freestyle jobs
    freestyle   TEXT,            -- the job file as JSON, NULL for git jobs
    parameters  TEXT,            -- []ci.Parameter as JSON
    version     BIGINT NOT NULL,
    created_at  BIGINT,
    updated_at  BIGINT
);

CREATE TABLE runs (
    id                 {serial},
    job                {name} NOT NULL,
    job_version        BIGINT NOT NULL,
    status             TEXT NOT NULL,
    phase              TEXT NOT NULL,
    outcome            TEXT NOT NULL,
    reason             TEXT NOT NULL,
    exit_code          BIGINT,
    script_started     BOOLEAN NOT NULL,
    commit_sha         {name} NOT NULL,
    branch_name        {name} NOT NULL,
    parameters         TEXT,
    priority           TEXT NOT NULL,
    triggered_by       TEXT NOT NULL,
    git                TEXT,
    class              {name} NOT NULL,
    agent              {name} NOT NULL,
    claim              TEXT NOT NULL,
    lease_until        BIGINT,
    deadline           BIGINT,
    abort_requested_at BIGINT,
    triggered_at       BIGINT,
    queued_at          BIGINT,
    claimed_at         BIGINT,
    started_at         BIGINT,
    collecting_at      BIGINT,
    done_at            BIGINT,
    console_bytes      BIGINT NOT NULL,
    console_sha256     TEXT NOT NULL,
    console_truncated  BOOLEAN NOT NULL,
    spec               TEXT,
    -- For the engine alone; 0 and '' are "never" and "nobody".
    plan_holder        TEXT NOT NULL DEFAULT '',
    plan_until         BIGINT NOT NULL DEFAULT 0,
    published_at       BIGINT NOT NULL DEFAULT 0
);

-- Lists: each filter has an index that ends in the key of the page, id. Those of
-- a column that is often empty leave the empty ones out.
CREATE INDEX runs_job         ON runs (job, id);
CREATE INDEX runs_job_branch  ON runs (job, branch_name, id) WHERE branch_name <> '';
CREATE INDEX runs_job_commit  ON runs (job, commit_sha, id)  WHERE commit_sha <> '';
CREATE INDEX runs_job_outcome ON runs (job, outcome, id)     WHERE outcome <> '';
CREATE INDEX runs_branch      ON runs (branch_name, id)      WHERE branch_name <> '';
CREATE INDEX runs_commit      ON runs (commit_sha, id)       WHERE commit_sha <> '';
CREATE INDEX runs_outcome     ON runs (outcome, id)          WHERE outcome <> '';
CREATE INDEX runs_triggered   ON runs (triggered_at, id);
CREATE INDEX runs_done        ON runs (done_at, id)          WHERE status = 'done';

-- What moves: small, however many runs are stored.
CREATE INDEX runs_in_progress     ON runs (id)      WHERE status = 'in_progress';
CREATE INDEX runs_job_in_progress ON runs (job, id) WHERE status = 'in_progress';
CREATE INDEX runs_planning    ON runs (id) WHERE status = 'in_progress' AND phase = 'planning';
CREATE INDEX runs_unpublished ON runs (published_at, id) WHERE status = 'in_progress' AND phase = 'queued';
CREATE INDEX runs_lane        ON runs (class, priority, queued_at, id) WHERE status = 'in_progress' AND phase = 'queued';
CREATE INDEX runs_held        ON runs (agent, id)   WHERE status = 'in_progress' AND agent <> '';
CREATE INDEX runs_lease       ON runs (lease_until) WHERE status = 'in_progress' AND agent <> '';
CREATE INDEX runs_deadline    ON runs (deadline)    WHERE status = 'in_progress' AND agent <> '';

CREATE TABLE results (
    run          BIGINT NOT NULL,
    name         {name} NOT NULL,
    content_type TEXT NOT NULL,
    size         BIGINT NOT NULL,
    sha256       TEXT NOT NULL,
    filename     TEXT NOT NULL,
    files        BIGINT NOT NULL,
    created_at   BIGINT,
    PRIMARY KEY (run, name)
);

-- The console's index. A chunk covers the plain bytes [first_byte, first_byte+length).
CREATE TABLE chunks (
    run        BIGINT NOT NULL,
    first_byte BIGINT NOT NULL,
    length     BIGINT NOT NULL,
    data       {bytes},
    blob_key   TEXT NOT NULL,
    stored_at  BIGINT,
    PRIMARY KEY (run, first_byte)
);

CREATE TABLE events (
    seq     {seq},
    type    TEXT NOT NULL,
    run     BIGINT NOT NULL,
    job     {name} NOT NULL,
    phase   TEXT NOT NULL,
    outcome TEXT NOT NULL,
    at      BIGINT NOT NULL
);
CREATE INDEX events_run ON events (run);
CREATE INDEX events_job ON events (job, seq);

-- Where this database's event numbers begin; see events.go. Only Postgres uses it.
CREATE TABLE event_base (base BIGINT NOT NULL);
INSERT INTO event_base (base) VALUES (0);

CREATE TABLE agents (
    id          {name} PRIMARY KEY,
    version     TEXT NOT NULL,
    cpus        DOUBLE PRECISION NOT NULL,
    memory      BIGINT NOT NULL,
    free_cpus   DOUBLE PRECISION NOT NULL,
    free_memory BIGINT NOT NULL,
    cpu_load    DOUBLE PRECISION NOT NULL,
    runs        TEXT,
    draining    BOOLEAN NOT NULL,
    refusals    TEXT,
    problem     TEXT NOT NULL,
    leftovers   BIGINT NOT NULL,
    seen_at     BIGINT
);

CREATE TABLE drains (
    agent    {name} PRIMARY KEY,
    reason   TEXT NOT NULL,
    deadline BIGINT,
    since    BIGINT
);

CREATE TABLE config (
    id       BIGINT PRIMARY KEY, -- always 1
    document TEXT NOT NULL,      -- ci.Config as JSON
    version  BIGINT NOT NULL
);

CREATE TABLE tokens (
    id         {name} PRIMARY KEY,
    name       {name} NOT NULL,
    role       TEXT NOT NULL,
    jobs       TEXT,
    created_at BIGINT,
    expires_at BIGINT,
    revoked_at BIGINT
);
CREATE UNIQUE INDEX tokens_living ON tokens (name) WHERE revoked_at IS NULL;

CREATE TABLE idempotency (
    job       {name} NOT NULL,
    name      {name} NOT NULL,
    body_hash TEXT NOT NULL,
    run       BIGINT NOT NULL,
    used_at   BIGINT NOT NULL,
    PRIMARY KEY (job, name)
);
CREATE INDEX idempotency_age ON idempotency (used_at);

CREATE TABLE leases (
    name        {name} PRIMARY KEY,
    holder      TEXT NOT NULL,
    lease_until BIGINT NOT NULL
);
