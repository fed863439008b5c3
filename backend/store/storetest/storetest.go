// Package storetest is the conformance suite of backend/store: the same tests
// for every engine, and what other tests need of a store full of runs.
package storetest

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

// Run runs the suite. open returns an empty store that is closed after the test.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	tests := map[string]func(t *testing.T, k *kit){
		"every field is stored":                 everyField,
		"jobs":                                  jobs,
		"runs":                                  runs,
		"delete a run":                          deleteRun,
		"moves are what ci.Transitions allows":  moves,
		"moves need the claim":                  foreignClaims,
		"a claim can be repeated":               repeatedClaim,
		"a claim holds one run":                 oneRunAClaim,
		"race: one claim of many runs":          raceOneClaim,
		"a move leaves other columns alone":     columnsOfOthers,
		"finish":                                finish,
		"abort":                                 abort,
		"renew leases":                          renew,
		"who drains claims nothing":             drained,
		"hold":                                  hold,
		"expired, overdue, held":                expired,
		"planner's lease":                       planning,
		"queue":                                 queue,
		"overtaken":                             overtaken,
		"publishing":                            publishing,
		"lists: filters":                        filters,
		"lists: pages":                          pages,
		"lists: limited to jobs":                limited,
		"lists: seeded":                         seeded,
		"ssh keys":                              sshKeys,
		"results":                               results,
		"console":                               chunks,
		"events":                                events,
		"events: late commits are not missed":   lateCommits,
		"events: a reader beside many writers":  followEvents,
		"agents":                                agents,
		"agents that are gone":                  forgottenAgents,
		"configuration":                         config,
		"tokens":                                tokens,
		"tokens of runs":                        runTokens,
		"secrets":                               secrets,
		"secrets: too many":                     tooManySecrets,
		"registries":                            registries,
		"sealed values are sealed again":        reseal,
		"forges":                                forges,
		"event triggers":                        eventTriggers,
		"webhooks":                              webhooks,
		"runs of an origin":                     origins,
		"origins of commits":                    commitOrigins,
		"origins of commits: old programs":      commitOriginsOfOldPrograms,
		"leases":                                leases,
		"checks":                                checks,
		"checks: order":                         checkOrder,
		"checks: states":                        checkStates,
		"race: checks":                          raceChecks,
		"retention: order":                      keptOrder,
		"retention: expire":                     expireKinds,
		"retention: what keeps a run":           keptRuns,
		"retention: runs of old programs":       countedLater,
		"retention: jobs":                       keptJobs,
		"retention: trash":                      trash,
		"pins":                                  pins,
		"pins of others":                        pinsOfOthers,
		"race: a pin against retention":         racePin,
		"idempotency":                           idempotency,
		"write: errors and panics":              writeErrors,
		"write: one fails, the others stand":    writeIsolation,
		"write: contexts":                       writeContexts,
		"write: no write inside a write":        writeNested,
		"write: an unstorable text is no panic": unstorable,
		"race: finish against abort":            raceFinish,
		"race: two claims, one winner":          raceClaim,
		"race: a drain against claims":          raceDrain,
		"race: one idempotency key":             raceKey,
		"race: appending to one console":        raceConsole,
		"race: an end against output":           raceSeal,
		"race: one lease":                       raceLease,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, &kit{Store: open(t), t: t, ctx: t.Context()})
		})
	}
}

// kit is a store with shortcuts.
type kit struct {
	*store.Store
	t   *testing.T
	ctx context.Context
	// claims counts those that insert has made.
	claims atomic.Int64
}

// write runs fn in a transaction and returns its error.
func (k *kit) write(fn func(tx *store.Tx) error) error {
	return k.Write(k.ctx, func(_ context.Context, tx *store.Tx) error { return fn(tx) })
}

// do is write that has to succeed.
func (k *kit) do(fn func(tx *store.Tx) error) {
	k.t.Helper()
	require.NoError(k.t, k.write(fn))
}

// pruner is one of the Tx's methods that forget what lies before a moment.
type pruner func(tx *store.Tx, ctx context.Context, before time.Time, limit int) (int64, error)

// prunePage forgets limit rows, of which there are as many at least.
func (k *kit) prunePage(forget pruner, before time.Time, limit int) {
	k.t.Helper()
	k.do(func(tx *store.Tx) error {
		n, err := forget(tx, k.ctx, before, limit)
		require.EqualValues(k.t, limit, n)
		return err
	})
}

// prune forgets all, a few at a time.
func (k *kit) prune(forget pruner, before time.Time) {
	k.t.Helper()
	const page = 3
	for n := int64(page); n >= page; {
		k.do(func(tx *store.Tx) (err error) {
			n, err = forget(tx, k.ctx, before, page)
			return err
		})
	}
}

// at is a moment of the tests: n seconds after a fixed one.
func at(n int) time.Time {
	return time.Date(2026, 3, 4, 5, 6, 7, 89_000, time.UTC).Add(time.Duration(n) * time.Second)
}

// insert records a run in a phase, held by claimOf when an agent has it, and
// changed by each of with.
func (k *kit) insert(phase ci.Phase, with ...func(*ci.Run)) *ci.Run {
	k.t.Helper()
	r := &ci.Run{
		Job: "build", JobVersion: 1, Status: ci.StatusInProgress, Phase: phase, BranchName: "main",
		Priority: ci.PriorityNormal, Class: "small", Times: ci.Times{Triggered: at(0)},
	}
	if phase != ci.PhasePlanning {
		r.Times.Queued = at(1)
	}
	if phase != ci.PhasePlanning && phase != ci.PhaseQueued {
		r.Agent, r.Claim, r.LeaseUntil, r.Deadline, r.Times.Claimed = "agent", fmt.Sprint("claim", k.claims.Add(1)), at(60), at(600), at(2)
	}
	for _, change := range with {
		change(r)
	}
	k.do(func(tx *store.Tx) error { return tx.InsertRun(k.ctx, r) })
	return r
}

// done makes insert record a run that ended.
func done(o ci.Outcome) func(*ci.Run) {
	return func(r *ci.Run) { r.Status, r.Outcome, r.Times.Done = ci.StatusDone, o, at(9) }
}

// claimOf is the claim that holds a run, or that one makes of a run that nobody holds.
func claimOf(r *ci.Run) ci.Claim {
	return ci.Claim{Run: r.ID, Agent: "agent", ID: cmp.Or(r.Claim, "claim")}
}

func (k *kit) get(id int64) *ci.Run {
	k.t.Helper()
	r, err := k.GetRun(k.ctx, "", id)
	require.NoError(k.t, err)
	return r
}

// requireCode checks an error's code, and that it is a sentence.
func requireCode(t testing.TB, code ci.Code, err error, words ...string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, ci.CodeOf(err), err.Error())
	for _, w := range words {
		require.Contains(t, err.Error(), w)
	}
	require.Contains(t, strings.TrimSpace(err.Error()), " ")
}

func ids(runs []ci.Run) []int64 {
	list := []int64{}
	for _, r := range runs {
		list = append(list, r.ID)
	}
	return list
}
