package store

import (
	"context"

	"ci/pkg/ci"
)

// originKeys are the columns that runs of one repository are found by.
func originKeys(o *ci.Origin) (repo, head, line string) {
	if o == nil {
		return "", "", ""
	}
	return o.Repo(), o.HeadSHA, o.Line()
}

// RunsOfHead returns up to limit runs whose check stands at a commit of a
// repository (see ci.Origin.Repo), newest first, without their Spec.
func (r reader) RunsOfHead(ctx context.Context, repo, head string, limit int) ([]ci.Run, error) {
	return many(ctx, r.s, listPlaces, "SELECT "+listFields+" FROM runs WHERE origin_repo = ? AND origin_repo <> '' AND origin_head = ? ORDER BY id DESC LIMIT ?", repo, head, limit)
}

// RunsOfLine returns up to limit runs of one line of a repository (see
// ci.Origin.Line), newest first, without their Spec.
func (r reader) RunsOfLine(ctx context.Context, repo, line string, limit int) ([]ci.Run, error) {
	return many(ctx, r.s, listPlaces, "SELECT "+listFields+" FROM runs WHERE origin_repo = ? AND origin_repo <> '' AND origin_line = ? ORDER BY id DESC LIMIT ?", repo, line, limit)
}

const commitFields = "sha, repo, fork, job, run, git, origin"

func commitPlaces(c *ci.CommitOrigin) []any {
	return []any{
		&c.SHA, &c.Repo, &c.Fork, &c.Job, &c.Run,
		document{&c.Git},
		document{&c.Origin},
	}
}

// keepOrigin notes where the commit of a new run comes from. It outlives the run.
func (tx *Tx) keepOrigin(ctx context.Context, r *ci.Run) error {
	if r.Origin == nil || r.Origin.HeadSHA == "" {
		return nil
	}
	c := ci.CommitOrigin{SHA: r.Origin.HeadSHA, Repo: r.Origin.Repo(), Fork: r.Origin.Fork, Run: r.ID}
	if c.Fork {
		c.Job, c.Git, c.Origin = r.Job, r.Git, r.Origin
	}
	_, err := tx.s.exec(ctx, insertText("commit_origins", commitFields, 7)+
		" ON CONFLICT (sha, repo, fork, job) DO UPDATE SET run = excluded.run, git = excluded.git, origin = excluded.origin", values(commitPlaces(&c))...)
	return err
}

// commitText looks at the newest runs, too: while programs are replaced, one that
// knows nothing of commit_origins may have recorded them.
const commitText = "SELECT " + commitFields + " FROM commit_origins WHERE sha = ? UNION ALL " +
	"SELECT origin_head, origin_repo, origin LIKE '%\"Fork\":true%', job, id, git, origin FROM (SELECT * FROM runs " +
	"WHERE commit_sha = ? AND commit_sha <> '' AND origin_repo <> '' ORDER BY id DESC LIMIT 100) AS newest ORDER BY run DESC"

// CommitOrigins returns where a commit is known from, by the events of forges that
// made runs, newest first. Nothing of it is forgotten with a run; the same may be
// there twice.
func (r reader) CommitOrigins(ctx context.Context, sha string) ([]ci.CommitOrigin, error) {
	return many(ctx, r.s, commitPlaces, commitText, sha, sha)
}
