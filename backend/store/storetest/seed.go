package storetest

import (
	"context"

	"ci/backend/store"
)

// seedBatch is how many runs one transaction of Seed inserts.
const seedBatch = 50_000

// Some of the jobs that the runs of Seed have.
const (
	// SeedJob has one run in fifty, among them run 500 of a store that was empty.
	SeedJob = "job-49"
	// SeedMainJob has as many, all of them on branch main.
	SeedMainJob = "job-1"
	// SeedRareJob has one run in a thousand.
	SeedRareJob = "rare"
)

// Seed inserts n done runs, as a system that is in use for long would have
// them: fifty jobs, mostly on branch main, mostly succeeded, each of a commit
// of its own, one triggered every ten seconds, the last one now. It is much
// faster than InsertRun.
func Seed(ctx context.Context, s *store.Store, n int) error {
	first := s.Now().UnixMicro() - int64(n)*10_000_000
	for from := 0; from < n; from += seedBatch {
		to := min(n, from+seedBatch)
		err := s.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, seedText, int64(to-1), int64(from), first)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// i is the number of the run, at the moment when it was triggered.
const seedText = `
INSERT INTO runs (job, job_version, status, phase, outcome, reason, exit_code, script_started,
    commit_sha, branch_name, parameters, priority, triggered_by, git, class, agent, claim,
    lease_until, deadline, abort_requested_at, triggered_at, queued_at, claimed_at, started_at, collecting_at, done_at,
    console_bytes, console_sha256, console_truncated, spec)
SELECT CASE WHEN i % 1000 = 999 THEN 'rare' ELSE 'job-' || CAST(i % 50 AS TEXT) END, 1, 'done', 'collecting',
    CASE WHEN i % 100 < 90 THEN 'succeeded' WHEN i % 100 < 97 THEN 'failed' WHEN i % 100 < 99 THEN 'aborted' ELSE 'lost' END,
    'The script exited.', 0, TRUE,
    '000000000000000000000' || CAST(1000000000000000000 + i * 7919 % 1000003 * 1000000007 AS TEXT),
    CASE WHEN i % 10 < 7 THEN 'main' ELSE 'feature/' || CAST(i % 1009 AS TEXT) END,
    '{"TARGET":"all"}', 'normal', 'seed', '{"URL":"https://git.example/team/project.git","ConfigPath":"ci/test.yaml","SSHKey":""}',
    'small', 'agent-' || CAST(i % 20 AS TEXT), 'b7a3c0de-0000-7000-8000-000000000000',
    at + 70000000, at + 4000000000, NULL, at, at + 100000, at + 150000, at + 900000, at + 8000000, at + 9000000,
    10000, '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', FALSE,
    '{"script":"make test","environment":{"image":"golang:1.26","workdir":"/workspace"},"timeout":"10m0s","resources":{"cpus":1,"memory":2147483648,"pids":1024},"git":{"depth":1}}'
FROM (WITH RECURSIVE numbers(i, last) AS (
        SELECT lowest, highest FROM (SELECT CAST(? AS BIGINT) AS highest, CAST(? AS BIGINT) AS lowest) AS ends
        UNION ALL SELECT i + 1, last FROM numbers WHERE i < last)
    SELECT i, CAST(? AS BIGINT) + i * 10000000 AS at FROM numbers) AS n`
