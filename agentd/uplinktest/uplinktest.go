// Package uplinktest is the conformance suite of the border between an agent
// and its backend. Whatever an agent is joined to, a database or a cid over
// the network, has to behave alike here.
package uplinktest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"ci/agentd"
	"ci/pkg/api"
	"ci/pkg/ci"
)

// Side is what one agent has of the backend.
type Side struct {
	agentd.Uplink
	agentd.Queue
	agentd.Bus
	// Disown ends what an earlier life of the agent held.
	Disown func(ctx context.Context, agent string) error
}

// World is a backend that the suite plays on. Nobody else takes its runs.
type World struct {
	// Admin is an administrator's client.
	Admin *api.Client
	// Depth says how many messages wait in each lane of the backend's queue,
	// as the broker counts them.
	Depth func(ctx context.Context) (map[ci.Lane]int, error)
	// Open returns the side of a new agent of that id.
	Open func(t testing.TB, agent string) Side
}

// patience bounds every wait for something that has to happen.
const patience = time.Minute

// Run plays the suite. Its tests share the world; those that read the queue
// go one after the other, in the lanes of class large.
func Run(t *testing.T, w World) {
	for name, test := range map[string]func(*kit){
		"a claim gives the run once":            claimOnce,
		"a claim can be repeated":               claimRepeated,
		"what is confidential is the claim's":   confidential,
		"a run without its secret is not given": missingSecret,
		"renewals":                              renewals,
		"a lost run stays as it is":             frozen,
		"another agent's run":                   foreign,
		"reports in order":                      reports,
		"the console":                           console,
		"results":                               results,
		"a run ends once":                       finishOnce,
		"abort at once":                         abort,
		"heartbeat and drain":                   heartbeat,
		"an earlier life is disowned":           disown,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newKit(t, w))
		})
	}
	t.Run("queue", func(t *testing.T) {
		t.Parallel()
		for name, test := range map[string]func(*kit){
			"a waiting run is pulled":     pull,
			"urgent runs come first":      urgentFirst,
			"pulls that were given up":    pullsGivenUp,
			"two agents share what waits": sharedQueue,
		} {
			t.Run(name, func(t *testing.T) { test(newKit(t, w)) })
		}
	})
}

// kit is one test's agent and job.
type kit struct {
	Side
	World
	t     *testing.T
	agent string
	job   string
}

func word() string { return strings.ToLower(rand.Text()[:10]) }

func newKit(t *testing.T, w World) *kit {
	k := &kit{World: w, t: t, agent: "agent-" + word(), job: "job-" + word()}
	k.Side = w.Open(t, k.agent)
	k.put(`{"script":"true"}`)
	return k
}

// put gives the test's job a job file, as JSON.
func (k *kit) put(file string) {
	k.t.Helper()
	_, _, err := k.Admin.PutJob(k.t.Context(), &ci.Job{Name: k.job, Freestyle: []byte(file)}, 0)
	require.NoError(k.t, err)
}

func (k *kit) trigger() *ci.Run {
	k.t.Helper()
	return k.triggerAs("")
}

func (k *kit) triggerAs(p ci.Priority) *ci.Run {
	k.t.Helper()
	run, err := k.Admin.Trigger(k.t.Context(), ci.Trigger{Job: k.job, Priority: p})
	require.NoError(k.t, err)
	return run
}

// newClaim is a claim that nobody has made yet.
func (k *kit) newClaim(run int64) ci.Claim {
	return ci.Claim{Run: run, Agent: k.agent, ID: uuid.Must(uuid.NewV7()).String()}
}

// claimed triggers a run and claims it.
func (k *kit) claimed() (ci.Claim, *ci.Work) {
	k.t.Helper()
	c := k.newClaim(k.trigger().ID)
	work, err := k.Claim(k.t.Context(), c)
	require.NoError(k.t, err)
	return c, work
}

// started is claimed with the script begun.
func (k *kit) started() ci.Claim {
	k.t.Helper()
	c, _ := k.claimed()
	require.NoError(k.t, k.Started(k.t.Context(), c))
	return c
}

// run is the run as everybody sees it.
func (k *kit) run(id int64) *ci.Run {
	k.t.Helper()
	r, err := k.Admin.GetRun(k.t.Context(), k.job, id)
	require.NoError(k.t, err)
	return r
}

// printed is the console as everybody sees it.
func (k *kit) printed(id int64) string {
	k.t.Helper()
	body, err := k.Admin.Console(k.t.Context(), k.job, id, 0, false)
	require.NoError(k.t, err)
	text, err := io.ReadAll(body)
	require.NoError(k.t, err)
	require.NoError(k.t, body.Close())
	return string(text)
}

// append stores console output and returns where it ends.
func (k *kit) append(c ci.Claim, offset int64, text string) int64 {
	k.t.Helper()
	next, err := k.AppendConsole(k.t.Context(), c, offset, []byte(text))
	require.NoError(k.t, err)
	return next
}

// lost wants an error that says: the claim holds no more.
func (k *kit) lost(err error, what string) {
	k.t.Helper()
	require.Error(k.t, err, what)
	require.Equal(k.t, ci.CodeConflict, ci.CodeOf(err), "%s: %v", what, err)
}

// refused makes every call that a claim allows, and wants each to be lost.
func (k *kit) refused(s Side, c ci.Claim) {
	k.t.Helper()
	ctx, code := k.t.Context(), 0
	k.lost(s.Started(ctx, c), "started")
	k.lost(s.Collecting(ctx, c, &code), "collecting")
	_, err := s.AppendConsole(ctx, c, k.run(c.Run).Console.Bytes, []byte("late"))
	k.lost(err, "console")
	_, err = s.PutResult(ctx, c, ci.Result{Name: "late", ContentType: "text/plain", Filename: "late", Files: 1}, strings.NewReader("late"))
	k.lost(err, "result")
	k.lost(s.Finish(ctx, c, end(ci.OutcomeAborted, "")), "finish")
	verdicts, err := s.Renew(ctx, c.Agent, []ci.Claim{c})
	require.NoError(k.t, err)
	require.Equal(k.t, []ci.Verdict{{Run: c.Run, Gone: true}}, verdicts)
}

// end is how a run ends that has printed text.
func end(o ci.Outcome, text string) ci.End {
	sum := sha256.Sum256([]byte(text))
	return ci.End{Outcome: o, Reason: "It ended.", Console: ci.Console{Bytes: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}}
}

// eventually polls until ok returns nil.
func (k *kit) eventually(ok func() error) {
	k.t.Helper()
	var err error
	for over := time.Now().Add(patience); time.Now().Before(over); time.Sleep(20 * time.Millisecond) {
		if err = ok(); err == nil {
			return
		}
	}
	require.NoError(k.t, err)
}

// large are the lanes of the tests that read the queue.
func large() []ci.Lane {
	return []ci.Lane{{Class: "large", Priority: ci.PriorityUrgent}, {Class: "large", Priority: ci.PriorityNormal}}
}

// next pulls a run and claims it, as an agent does.
func (k *kit) next(ctx context.Context, s Side, agent string) (ci.Claim, *ci.Work, error) {
	for {
		d, err := s.Pull(ctx, large())
		if err != nil {
			return ci.Claim{}, nil, err
		}
		if d.Taken != nil {
			require.Equal(k.t, agent, d.Taken.Claim.Agent)
			require.Equal(k.t, d.Run, d.Taken.Work.Run.ID)
			require.False(k.t, d.Taken.Since.After(time.Now()))
			return d.Taken.Claim, d.Taken.Work, nil
		}
		c := ci.Claim{Run: d.Run, Agent: agent, ID: uuid.Must(uuid.NewV7()).String()}
		// Whoever pulled a message sees it through, also when it was asked to stop meanwhile.
		settle := context.WithoutCancel(ctx)
		work, err := s.Claim(settle, c)
		if err != nil && ci.CodeOf(err) != ci.CodeConflict && ci.CodeOf(err) != ci.CodeNotFound {
			return c, nil, fmt.Errorf("claim run %d: %w", d.Run, err)
		}
		require.NoError(k.t, d.Ack(settle))
		if err == nil {
			return c, work, nil
		}
	}
}
