package engine

import (
	"context"

	"ci/pkg/ci"
)

// Repositories opens repositories of forges for reading; gh/app does it.
type Repositories interface {
	// HTTPAccess returns what the repository at a git URL is read with, good for half
	// an hour at least; nil where no forge that is known gives out anything for it.
	HTTPAccess(ctx context.Context, gitURL string) (*ci.HTTPAccess, error)
	// Refused hears that a repository could not be read with what it was given out:
	// an App may have been taken away and installed again since.
	Refused(*ci.HTTPAccess)
}

// httpAccess is what opens a run's repository. Its error is of the forge: the
// repository may be anybody's to read all the same. One that does not answer in
// time is away.
func (e *Engine) httpAccess(ctx context.Context, git *ci.Git) (*ci.HTTPAccess, error) {
	if e.Repositories == nil || git == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	access, err := e.Repositories.HTTPAccess(ctx, git.URL)
	if err != nil && ctx.Err() != nil {
		err = ci.Errorf(ci.CodeUnavailable, "the forge has not answered in time: %w", err)
	}
	if err != nil {
		e.Log.Warn("a forge gives out nothing to read a repository with; it is tried as anybody would", "repo", git.URL, "err", err)
	}
	return access, err
}

// anew returns what opens a repository that could not be read with old, and why
// there is nothing else to try; nil twice says that the reason is another one.
func (e *Engine) anew(ctx context.Context, git *ci.Git, old *ci.HTTPAccess) (*ci.HTTPAccess, error) {
	if old == nil {
		return nil, nil
	}
	e.Repositories.Refused(old)
	access, err := e.httpAccess(ctx, git)
	if access != nil && *access == *old {
		return nil, nil
	}
	return access, err
}

// unopened is why a repository could not be read by a planner that a forge gave
// nothing to read it with: denied says why, and is nil when there was no need.
func unopened(err, denied error) error {
	switch {
	case denied == nil || ci.CodeOf(err) != ci.CodeInvalid:
		return err
	case ci.CodeOf(denied) == ci.CodeUnavailable:
		return denied // once the forge is back it may be let in
	}
	return ci.Errorf(ci.CodeInvalid, "%s. Its forge gives out nothing to read it with: %w", err.Error(), denied)
}

// giveHTTP opens the run's repository for its checkout. A forge that is away is
// waited for, as everything confidential is; then the checkout has to do without,
// since most repositories need nothing.
func (e *Engine) giveHTTP(ctx context.Context, run *ci.Run, work *ci.Work) error {
	access, err := e.httpAccess(ctx, run.Git)
	if ci.CodeOf(err) == ci.CodeUnavailable && !e.waiting.over(run.ID, e.Store.Now(), e.AccessFor) {
		return ci.Errorf(ci.CodeUnavailable, "the forge is away that opens %s: %w", run.Git.URL, err)
	}
	work.HTTP = access
	return nil
}
