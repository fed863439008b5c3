CREATE TABLE pipeline_definitions (
    name       TEXT PRIMARY KEY,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- A version is never changed, and stays while a run of it does.
CREATE TABLE pipeline_versions (
    name       TEXT NOT NULL,
    version    BIGINT NOT NULL,
    program    TEXT NOT NULL,
    source     TEXT NOT NULL,
    parameters TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE pipeline_runs (
    id           BIGINT PRIMARY KEY,
    key          TEXT NOT NULL,
    pipeline     TEXT NOT NULL,
    version      BIGINT NOT NULL,
    status       TEXT NOT NULL,
    outcome      TEXT NOT NULL,
    reason       TEXT NOT NULL,
    ending       TEXT NOT NULL,
    parameters   TEXT NOT NULL,
    triggered_by TEXT NOT NULL,
    idempotency  TEXT NOT NULL,
    rerun_of     BIGINT NOT NULL,
    triggered_at BIGINT NOT NULL,
    abort_at     BIGINT NOT NULL,
    done_at      BIGINT NOT NULL,
    -- When somebody has to look at it; only of use while it is in progress.
    wake_at      BIGINT NOT NULL,
    lease        TEXT NOT NULL,
    lease_until  BIGINT NOT NULL,
    -- How often it was woken, so that who worked meanwhile does not send it to sleep.
    wakes        BIGINT NOT NULL
);
CREATE INDEX pipeline_runs_due ON pipeline_runs (wake_at) WHERE status = 'in_progress';
CREATE INDEX pipeline_runs_name ON pipeline_runs (pipeline, id);
CREATE UNIQUE INDEX pipeline_runs_once ON pipeline_runs (pipeline, idempotency) WHERE idempotency <> '';

CREATE TABLE pipeline_ids (next BIGINT NOT NULL);
INSERT INTO pipeline_ids (next) VALUES (0);

CREATE TABLE pipeline_calls (
    run       BIGINT NOT NULL,
    id        TEXT NOT NULL,
    seq       BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    title     TEXT NOT NULL,
    args      TEXT NOT NULL,
    after     TEXT NOT NULL,
    line      BIGINT NOT NULL,
    done      BIGINT NOT NULL,
    outcome   TEXT NOT NULL,
    reason    TEXT NOT NULL,
    job       TEXT NOT NULL,
    child     BIGINT NOT NULL,
    answer_by TEXT NOT NULL,
    reused    BIGINT NOT NULL,
    value     TEXT NOT NULL,
    began_at  BIGINT NOT NULL,
    ended_at  BIGINT NOT NULL,
    PRIMARY KEY (run, id)
);
CREATE INDEX pipeline_calls_child ON pipeline_calls (child) WHERE done = 0 AND child > 0;
