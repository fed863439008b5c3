-- Where commits come from, for as long as the database is there: runs are pruned,
-- and a stranger's commit is not to become one of ours by that. The words in
-- braces are those of 00001_first.sql.

CREATE TABLE commit_origins (
    sha    {name} NOT NULL,
    repo   {name} NOT NULL,  -- the repository of the event: forge/number
    fork   BOOLEAN NOT NULL, -- the event was of a fork's commit
    job    {name} NOT NULL,  -- the fork's run's; '' where fork is FALSE: one row is enough then
    run    BIGINT NOT NULL,  -- the newest that was recorded so
    git    TEXT,             -- the fork's run's ci.Git as JSON
    origin TEXT,             -- and its ci.Origin
    PRIMARY KEY (sha, repo, fork, job)
);

INSERT INTO commit_origins (sha, repo, fork, job, run)
SELECT origin_head, origin_repo, FALSE, '', MAX(id) FROM runs
WHERE origin_repo <> '' AND origin_head <> '' AND origin NOT LIKE '%"Fork":true%' GROUP BY origin_head, origin_repo;

INSERT INTO commit_origins (sha, repo, fork, job, run, git, origin)
SELECT origin_head, origin_repo, TRUE, job, id, git, origin FROM runs WHERE id IN (
    SELECT MAX(id) FROM runs
    WHERE origin_repo <> '' AND origin_head <> '' AND origin LIKE '%"Fork":true%' GROUP BY origin_head, origin_repo, job);
