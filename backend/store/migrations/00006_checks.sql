-- What forges are still to be told of runs: the outbox of checks. A row is
-- written in the transaction that records its run, and goes when the run's end
-- was told. What is due follows from the run's own row, so no move of a run has
-- to be written down twice, whichever program makes it. The words in braces are
-- those of 00001_first.sql.

CREATE TABLE checks (
    id         {serial},
    run        BIGINT NOT NULL,         -- 0: it shows that somebody's approval is waited for
    forge      {name} NOT NULL,
    subject    {name} NOT NULL,         -- repository, commit and name: checks of one subject follow each other
    origin     TEXT NOT NULL,           -- ci.Origin as JSON
    held       TEXT,                    -- ci.HeldCheck as JSON
    told       TEXT NOT NULL,           -- ci.CheckState; '' is nothing
    external   BIGINT NOT NULL,         -- its number at the forge; 0 is unknown
    attempts   BIGINT NOT NULL,
    refusals   BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,         -- not before
    holder     TEXT NOT NULL,
    held_until BIGINT NOT NULL
);
CREATE UNIQUE INDEX checks_run ON checks (run) WHERE run <> 0;
CREATE INDEX checks_subject    ON checks (subject, id);
