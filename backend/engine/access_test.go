package engine_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/pkg/ci"
)

// keeper is a store of secrets that answers as a test wants.
type keeper struct {
	mu     sync.Mutex
	values map[string]string // of every job
	err    error
	hang   bool
	asked  int
}

func (k *keeper) set(err error, values map[string]string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err, k.values = err, values
}

func (k *keeper) answer(ctx context.Context) (map[string]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	if k.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return k.values, k.err
}

func (k *keeper) Missing(ctx context.Context, _ string, names []string) (missing []string, err error) {
	values, err := k.answer(ctx)
	for _, n := range names {
		if _, ok := values[n]; !ok {
			missing = append(missing, n)
		}
	}
	return missing, err
}

func (k *keeper) Values(ctx context.Context, _ string, _ []string) (map[string]string, error) {
	return k.answer(ctx)
}

// accounts are registries' accounts.
type accounts []ci.RegistryAccess

func (a accounts) Access(context.Context) ([]ci.RegistryAccess, error) { return a, nil }

// withSecrets is a world whose jobs name the secrets A and B.
func withSecrets(t *testing.T, change ...func(*engine.Config)) (*world, *keeper) {
	k := &keeper{values: map[string]string{"A": "hunter2", "B": "swordfish"}}
	w := setup(t, append([]func(*engine.Config){func(c *engine.Config) {
		c.Secrets, c.Registries = k, accounts{{Host: "docker.io", Username: "u", Password: "p"}}
	}}, change...)...)
	w.planner.file = "script: make\nenv: [A, B]\n"
	w.git()
	w.put(ci.Job{Name: "free", Freestyle: []byte(`{"script":"make","env":["A","B"]}`), Parameters: []ci.Parameter{{Name: "LEVEL"}}})
	return w, k
}

var unit = ci.Trigger{Job: "unit", BranchName: "main"}

func TestClaimGivesSecrets(t *testing.T) {
	w, _ := withSecrets(t)
	w.loops()
	run := w.trigger(unit)
	require.Equal(t, ci.PhaseQueued, w.wait(run.ID, ci.UntilPlanned).Phase)
	_, work := w.claim(run.ID, "box")
	require.Equal(t, map[string]string{"A": "hunter2", "B": "swordfish"}, work.Secrets)
	require.Equal(t, []ci.RegistryAccess{{Host: "docker.io", Username: "u", Password: "p"}}, work.Registries)
}

// Missing secrets end the run before anybody could make a container for it,
// and the reason has all their names.
func TestMissingSecrets(t *testing.T) {
	w, k := withSecrets(t)
	k.set(nil, map[string]string{"X": "y"})
	w.loops()
	planned := w.wait(w.trigger(unit).ID, ci.UntilDone)
	free := w.trigger(ci.Trigger{Job: "free"})
	_, err := w.Claim(w.ctx, ci.Claim{Run: free.ID, Agent: "box", ID: uuid.NewString()})
	require.Equal(t, ci.CodeConflict, code(err), "the agent drops it")
	for _, run := range []*ci.Run{planned, w.wait(free.ID, ci.UntilDone)} {
		require.Equal(t, ci.OutcomeError, run.Outcome)
		require.Contains(t, run.Reason, "secrets A, B")
		require.Contains(t, run.Reason, "ci secret set "+run.Job+" NAME")
		require.False(t, run.ScriptStarted)
	}
}

// While the store is away the run stays queued, and it is claimed when the store is back.
func TestSecretsAreAway(t *testing.T) {
	w, k := withSecrets(t)
	run := w.trigger(ci.Trigger{Job: "free"})
	away := ci.Errorf(ci.CodeUnavailable, "the vault is sealed")
	k.set(away, nil)
	c := ci.Claim{Run: run.ID, Agent: "box", ID: uuid.NewString()}
	for range 3 {
		_, err := w.Claim(w.ctx, c)
		require.Equal(t, ci.CodeUnavailable, code(err))
	}
	got, err := w.db.GetRun(w.ctx, "", run.ID)
	require.NoError(t, err)
	require.Equal(t, ci.PhaseQueued, got.Phase)
	k.set(nil, map[string]string{"A": "1", "B": "2"})
	_, err = w.Claim(w.ctx, c)
	require.NoError(t, err)
}

func TestSecretsStayAway(t *testing.T) {
	w, k := withSecrets(t, func(c *engine.Config) { c.AccessFor = time.Millisecond })
	run := w.trigger(ci.Trigger{Job: "free"})
	k.set(ci.Errorf(ci.CodeUnavailable, "the vault is sealed"), nil)
	require.Eventually(t, func() bool {
		_, err := w.Claim(w.ctx, ci.Claim{Run: run.ID, Agent: "box", ID: uuid.NewString()})
		return code(err) == ci.CodeConflict
	}, 20*time.Second, 5*time.Millisecond)
	got := w.wait(run.ID, ci.UntilDone)
	require.Equal(t, ci.OutcomeError, got.Outcome)
	require.Contains(t, got.Reason, "the vault is sealed")
	require.Contains(t, got.Reason, "not started")
}

// A store that hangs is one that is away.
func TestSecretsHang(t *testing.T) {
	w, k := withSecrets(t)
	k.hang = true
	run := w.trigger(ci.Trigger{Job: "free"})
	ctx, cancel := context.WithTimeout(w.ctx, 100*time.Millisecond)
	defer cancel()
	_, err := w.Claim(ctx, ci.Claim{Run: run.ID, Agent: "box", ID: uuid.NewString()})
	require.Equal(t, ci.CodeUnavailable, code(err))
}

// What no later try could change ends the run at once.
func TestSecretsAreDenied(t *testing.T) {
	w, k := withSecrets(t)
	for _, c := range []struct {
		err  error
		says string
	}{
		{ci.Errorf(ci.CodeForbidden, "Vault denies it"), "Vault denies it"},
		{ci.Errorf(ci.CodeConflict, "needs key 12345678"), "needs key 12345678"},
		{context.Canceled, "internal error"},
	} {
		run := w.trigger(ci.Trigger{Job: "free"})
		k.set(c.err, nil)
		_, err := w.Claim(w.ctx, ci.Claim{Run: run.ID, Agent: "box", ID: uuid.NewString()})
		require.Equal(t, ci.CodeConflict, code(err))
		got := w.wait(run.ID, ci.UntilDone)
		require.Equal(t, ci.OutcomeError, got.Outcome)
		require.Contains(t, got.Reason, c.says)
	}
}

// Who comes second reads nothing.
func TestNothingIsReadForALostClaim(t *testing.T) {
	w, k := withSecrets(t)
	run := w.trigger(ci.Trigger{Job: "free"})
	w.claim(run.ID, "first")
	before := k.asked
	_, err := w.Claim(w.ctx, ci.Claim{Run: run.ID, Agent: "second", ID: uuid.NewString()})
	require.Equal(t, ci.CodeConflict, code(err))
	require.Equal(t, before, k.asked)
}

func TestSecretAndParameterOfOneName(t *testing.T) {
	w, _ := withSecrets(t)
	w.loops()
	w.put(ci.Job{Name: "unit", Git: &ci.Git{URL: "https://git.test/x.git", ConfigPath: "ci/unit.yaml"}, Parameters: []ci.Parameter{{Name: "A", Default: "x"}}})
	run := w.wait(w.trigger(unit).ID, ci.UntilDone)
	require.Equal(t, ci.OutcomeError, run.Outcome)
	require.Contains(t, run.Reason, "A is a parameter")
}

func TestNoKey(t *testing.T) {
	w, _ := withSecrets(t, func(c *engine.Config) { c.Secrets = nil })
	run := w.trigger(ci.Trigger{Job: "free"})
	_, err := w.Claim(w.ctx, ci.Claim{Run: run.ID, Agent: "box", ID: uuid.NewString()})
	require.Equal(t, ci.CodeConflict, code(err))
	require.Contains(t, w.wait(run.ID, ci.UntilDone).Reason, "--secret-key")
}
