package engine_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

const (
	forkFile = "script: make test\nenv: [DEPLOY_KEY]\nci: true\n"
	forked   = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// forkWorld has two jobs of one repository, one of another, and a run of a fork's commit.
func forkWorld(t *testing.T) *world {
	w := setup(t)
	w.planner.file = forkFile
	w.loops()
	for name, url := range map[string]string{
		"unit": "https://git.test/octo/hello.git", "deploy": "git@git.test:Octo/Hello", "other": "https://git.test/octo/other",
	} {
		w.put(ci.Job{Name: name, Git: &ci.Git{URL: url, ConfigPath: "ci/" + name + ".yaml"}})
	}
	first := w.trigger(ci.Trigger{Job: "unit", CommitSHA: forked, Origin: forkOrigin()})
	require.Empty(t, w.wait(first.ID, ci.UntilPlanned).Spec.Env)
	return w
}

func forkOrigin() *ci.Origin {
	return &ci.Origin{
		Forge: "github", Trigger: "checks", Repository: 7, FullName: "octo/hello", HeadSHA: forked, Pull: 3, Branch: "evil", Base: "main",
		Fork: true, ConfigBranch: "main",
	}
}

// Whoever asks for a run of a fork's commit gets one without secrets.
func TestRerunOfAForkGetsNothing(t *testing.T) {
	w := forkWorld(t)
	again := w.wait(w.trigger(ci.Trigger{Job: "unit", CommitSHA: forked, By: "admin"}).ID, ci.UntilPlanned)
	require.Equal(t, forkOrigin(), again.Origin)
	require.Empty(t, again.Spec.Env)
	require.False(t, again.Spec.CI)
	require.Equal(t, []string{
		"This commit comes from a fork, so the script does not get the secrets DEPLOY_KEY, CI_TOKEN.",
		"The commit is known from pull request 3 of octo/hello alone, which comes from a fork, so the job file is that of branch main. " +
			"If it is the repository's own: start the branch that it is on, or push it there.",
	}, again.Spec.Notes)

	deploy := w.wait(w.trigger(ci.Trigger{Job: "deploy", CommitSHA: forked, By: "admin"}).ID, ci.UntilPlanned)
	require.True(t, deploy.Origin.Withheld(), "another job of the repository")
	require.Empty(t, deploy.Origin.Trigger)
	require.Equal(t, "main", deploy.Origin.ConfigBranch, "by the base branch's job file")
	require.Empty(t, deploy.Spec.Env)
	batch, err := w.TriggerBatch(w.ctx, []ci.Trigger{{Job: "deploy", CommitSHA: forked}, {Job: "unit", CommitSHA: forked}})
	require.NoError(t, err)
	for _, r := range batch {
		require.True(t, r.Origin.Withheld(), r.Job)
	}
	checks, err := w.db.OpenChecks(w.ctx)
	require.NoError(t, err)
	require.EqualValues(t, 3, checks, "runs of the trigger's own job are shown at the forge, and no others")
}

// Nothing is withheld of what did not come from a fork of this repository, or has come by other ways too.
func TestOthersGetTheirSecrets(t *testing.T) {
	w := forkWorld(t)
	require.Nil(t, w.trigger(ci.Trigger{Job: "other", CommitSHA: forked}).Origin, "another repository")
	require.Nil(t, w.trigger(ci.Trigger{Job: "unit", CommitSHA: commit}).Origin, "another commit")
	require.Nil(t, w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}).Origin, "a branch of the repository")
	elsewhere := ci.Origin{Forge: "github", Trigger: "theirs", Repository: 8, FullName: "mallory/hello", HeadSHA: forked, Ref: "refs/heads/main"}
	w.trigger(ci.Trigger{Job: "other", CommitSHA: forked, Origin: &elsewhere})
	require.True(t, w.trigger(ci.Trigger{Job: "unit", CommitSHA: forked}).Origin.Withheld(), "a push to the fork is nobody's of the repository")

	pushed := forkOrigin()
	pushed.Fork, pushed.Pull, pushed.ConfigBranch, pushed.Ref = false, 0, "", "refs/heads/main"
	w.trigger(ci.Trigger{Job: "unit", CommitSHA: forked, Origin: pushed})
	merged := w.trigger(ci.Trigger{Job: "deploy", CommitSHA: forked})
	require.Nil(t, merged.Origin, "it was merged as it is")
}

// What is known of a commit stays known, however many runs of it there are since.
func TestOthersHideNoFork(t *testing.T) {
	w := forkWorld(t)
	many := func(o ci.Origin) {
		var batch []ci.Trigger
		for range 120 {
			batch = append(batch, ci.Trigger{Job: "other", CommitSHA: forked, Origin: &o})
		}
		_, err := w.TriggerBatch(w.ctx, batch)
		require.NoError(t, err)
	}
	many(ci.Origin{Forge: "github", Trigger: "theirs", Repository: 8, FullName: "mallory/hello", HeadSHA: forked, Ref: "refs/heads/main"})
	require.True(t, w.trigger(ci.Trigger{Job: "unit", CommitSHA: forked}).Origin.Withheld(), "it is a fork's")

	pushed := forkOrigin()
	pushed.Fork, pushed.Pull, pushed.ConfigBranch, pushed.Ref = false, 0, "", "refs/heads/main"
	w.trigger(ci.Trigger{Job: "unit", CommitSHA: forked, Origin: pushed})
	stranger := *forkOrigin()
	stranger.ConfigBranch, stranger.Base = "old", "old"
	many(stranger)
	require.Nil(t, w.trigger(ci.Trigger{Job: "unit", CommitSHA: forked}).Origin, "it is the repository's own")
}

// A fork's commit does not become the repository's own when its run is pruned.
func TestPrunedForkIsOne(t *testing.T) {
	w := forkWorld(t)
	list, err := w.db.ListRuns(w.ctx, ci.RunFilter{CommitSHA: forked}, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	_, err = w.Abort(w.ctx, "unit", list[0].ID, "admin")
	require.NoError(t, err)
	require.NoError(t, w.db.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRun(ctx, list[0].ID) }))
	for _, job := range []string{"unit", "deploy"} {
		run := w.wait(w.trigger(ci.Trigger{Job: job, CommitSHA: forked, By: "admin"}).ID, ci.UntilPlanned)
		require.True(t, run.Origin.Withheld(), job)
		require.Empty(t, run.Spec.Env)
	}
}
