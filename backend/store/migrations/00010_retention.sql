-- What is kept of done runs, and for how long. The words in braces are those of
-- 00001_first.sql.

ALTER TABLE jobs ADD COLUMN keep TEXT; -- ci.Keep as JSON

-- When results and console went because they are kept no longer. What is told of
-- them stays in their rows; chunks go, since some hold the bytes themselves.
ALTER TABLE runs    ADD COLUMN results_expired_at BIGINT;
ALTER TABLE runs    ADD COLUMN console_expired_at BIGINT;
ALTER TABLE results ADD COLUMN expired_at BIGINT;

-- What a done run has stored: results, their bytes, and the bytes of results and
-- console together. stored_bytes is NULL until they were counted: runs that ended
-- before this version, or by an older program, are counted afterwards.
ALTER TABLE runs ADD COLUMN result_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN result_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN stored_bytes BIGINT;
CREATE INDEX runs_uncounted ON runs (id) WHERE status = 'done' AND stored_bytes IS NULL;

-- Oldest and newest first, of one job and of all. runs_done is of all runs.
CREATE INDEX runs_job_done    ON runs (job, done_at, id) WHERE status = 'done';
CREATE INDEX runs_job_results ON runs (job, done_at, id) WHERE status = 'done' AND result_count > 0 AND results_expired_at IS NULL;
CREATE INDEX runs_job_console ON runs (job, done_at, id) WHERE status = 'done' AND console_bytes > 0 AND console_expired_at IS NULL;
CREATE INDEX runs_results     ON runs (done_at, id)      WHERE status = 'done' AND result_count > 0 AND results_expired_at IS NULL;
CREATE INDEX runs_console     ON runs (done_at, id)      WHERE status = 'done' AND console_bytes > 0 AND console_expired_at IS NULL;

-- Who wants a run to be kept whatever the limits say.
CREATE TABLE pins (
    run      BIGINT NOT NULL,
    name     {name} NOT NULL,
    reason   TEXT NOT NULL,
    until_at BIGINT NOT NULL,
    by_token TEXT NOT NULL,
    PRIMARY KEY (run, name)
);
CREATE INDEX pins_until ON pins (until_at);

-- Objects to be removed, by the beginning of their keys. A row is written in the
-- transaction after which nothing refers to them any more, and goes when they are gone.
CREATE TABLE trash (
    prefix {name} PRIMARY KEY,
    since  BIGINT NOT NULL
);
