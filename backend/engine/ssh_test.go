package engine_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/backend/store"
	"ci/pkg/ci"
)

// keyring has private keys in memory.
type keyring map[string]*ci.SSHAccess

func (k keyring) Access(_ context.Context, name string) (*ci.SSHAccess, error) {
	if access, ok := k[name]; ok {
		return access, nil
	}
	return nil, ci.Errorf(ci.CodeNotFound, "there is no SSH key %q", name)
}

// withKey is a world with key "deploy", and job "unit" that names it.
func withKey(t *testing.T, keys engine.SSHKeys) *world {
	w := setup(t, func(c *engine.Config) { c.SSHKeys = keys })
	w.putKey()
	w.put(ci.Job{Name: "unit", Git: &ci.Git{URL: "ssh://git@git.test/x.git", ConfigPath: "ci/unit.yaml", SSHKey: "deploy"}})
	return w
}

func (w *world) putKey() {
	w.t.Helper()
	require.NoError(w.t, w.db.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.PutSSHKey(ctx, &ci.SSHKey{Name: "deploy"}, []byte("sealed"), 0)
		return err
	}))
}

var byBranch = ci.Trigger{Job: "unit", BranchName: "main"}

// The planner and the agent get the key that the job names, and nobody else any.
func TestRunsGetTheirKey(t *testing.T) {
	deploy := &ci.SSHAccess{Name: "deploy", PrivateKey: []byte("private")}
	w := withKey(t, keyring{"deploy": deploy, "other": {}})
	w.planner.file = "script: x\nssh: true\n"
	w.loops()
	run := w.wait(w.trigger(byBranch).ID, ci.UntilPlanned)
	require.Equal(t, ci.PhaseQueued, run.Phase, run.Reason)
	require.Equal(t, deploy, w.planner.access.SSH)
	_, work := w.claim(run.ID, "agent")
	require.Equal(t, deploy, work.SSH)

	w.git() // the same job without a key
	w.planner.file = "script: x\n"
	run = w.wait(w.trigger(byBranch).ID, ci.UntilPlanned)
	require.Nil(t, w.planner.access.SSH)
	_, work = w.claim(run.ID, "agent")
	require.Nil(t, work.SSH)
}

func TestKeyThatIsMissing(t *testing.T) {
	w := withKey(t, keyring{})
	w.put(ci.Job{Name: "none", Git: &ci.Git{URL: "ssh://git@git.test/x.git", ConfigPath: "a", SSHKey: "none"}})
	_, _, err := w.Trigger(w.ctx, ci.Trigger{Job: "none", BranchName: "main"})
	require.Equal(t, ci.CodeConflict, code(err))
	require.ErrorContains(t, err, "job none names the SSH key none, and there is none of that name; make it with `ci ssh-key create none`")

	// It was there when the run was triggered, and is gone when it is planned.
	w.loops()
	run := w.wait(w.trigger(byBranch).ID, ci.UntilDone)
	require.Equal(t, ci.OutcomeError, run.Outcome)
	require.Contains(t, run.Reason, "job unit names the SSH key deploy, and there is none of that name")
}

func TestSSHWithoutAKey(t *testing.T) {
	w := setup(t)
	w.git()
	w.planner.file = "script: x\nssh: true\n"
	w.loops()
	run := w.wait(w.trigger(byBranch).ID, ci.UntilDone)
	require.Equal(t, ci.OutcomeError, run.Outcome)
	require.Contains(t, run.Reason, "the job file says ssh: true, and job unit names no SSH key")
}

// An agent that can't open keys says so, instead of running without.
func TestAgentWithoutKeys(t *testing.T) {
	w := withKey(t, keyring{"deploy": {Name: "deploy"}})
	w.loops()
	run := w.wait(w.trigger(byBranch).ID, ci.UntilPlanned)
	w.SSHKeys = nil
	_, err := w.Claim(w.ctx, ci.Claim{Run: run.ID, Agent: "agent", ID: "x"})
	require.Equal(t, ci.CodeConflict, code(err))
	require.Contains(t, w.wait(run.ID, ci.UntilDone).Reason, "give it --secret-key")
}
