package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/blob"
	"ci/backend/engine"
	"ci/backend/store"
	"ci/pkg/ci"
)

const all = " results console"

// TestRetention goes through the limits: what a plan says goes, and nothing else does.
func TestRetention(t *testing.T) {
	t.Parallel()
	hours := func(n int) ci.Duration { return ci.Duration(time.Duration(n) * time.Hour) }
	for _, c := range []struct {
		name   string
		config func(*ci.Config)
		job    *ci.Keep // what job a says
		plan   []string
		left   []string
		why    string
	}{
		{
			name:   "nothing is limited",
			config: func(*ci.Config) {},
			left:   []string{"1" + all, "2" + all, "3" + all, "4" + all, "5" + all},
		},
		{
			name:   "all runs by age",
			config: func(c *ci.Config) { c.Retention = hours(35) },
			plan:   []string{"1 run", "2 run"},
			left:   []string{"3" + all, "4" + all, "5" + all},
			why:    "it ended more than 35h ago (retention)",
		},
		{
			name:   "each job by age",
			config: func(c *ci.Config) { c.Keep = &ci.Keep{Results: &ci.Limits{Age: hours(25)}} },
			plan:   []string{"1 results", "3 results", "2 results"},
			left:   []string{"1 console", "2 console", "3 console", "4" + all, "5" + all},
			why:    "it ended more than 25h ago (keep.results)",
		},
		{
			name:   "each job by count",
			config: func(c *ci.Config) { c.Keep = &ci.Keep{Console: &ci.Limits{Count: 1}} },
			plan:   []string{"1 console", "3 console", "2 console"},
			left:   []string{"1 results", "2 results", "3 results", "4" + all, "5" + all},
			why:    "the newest 1 are kept (keep.console)",
		},
		{
			name:   "each job by bytes, its newest in any case",
			config: func(c *ci.Config) { c.Keep = &ci.Keep{Results: &ci.Limits{Bytes: 999}} },
			plan:   []string{"1 results", "3 results", "2 results"},
			left:   []string{"1 console", "2 console", "3 console", "4" + all, "5" + all},
			why:    "the newest that have 999B together are kept (keep.results)",
		},
		{
			name:   "bytes that just fit",
			config: func(c *ci.Config) { c.Keep = &ci.Keep{Runs: &ci.Limits{Bytes: 42_000}} },
			plan:   []string{"1 run"},
			left:   []string{"2" + all, "3" + all, "4" + all, "5" + all},
		},
		{
			name:   "a job that keeps more of one kind",
			config: func(c *ci.Config) { c.Keep = &ci.Keep{Runs: &ci.Limits{Count: 1}} },
			job:    &ci.Keep{Runs: &ci.Limits{}},
			plan:   []string{"2 run"},
			left:   []string{"1" + all, "3" + all, "4" + all, "5" + all},
		},
		{
			name:   "a job that keeps less, and says nothing of the other kinds",
			config: func(c *ci.Config) { c.Keep = &ci.Keep{Console: &ci.Limits{Age: hours(25)}} },
			job:    &ci.Keep{Results: &ci.Limits{Count: 2}},
			plan:   []string{"1 results", "1 console", "3 console", "2 console"},
			left:   []string{"1", "2 results", "3 results", "4" + all, "5" + all},
			why:    "the newest 2 are kept (keep.results of job a)",
		},
		{
			name:   "the bound of all holds for a job that keeps for ever",
			config: func(c *ci.Config) { c.Retention = hours(35) },
			job:    &ci.Keep{Runs: &ci.Limits{}, Results: &ci.Limits{}, Console: &ci.Limits{}},
			plan:   []string{"1 run", "2 run"},
			left:   []string{"3" + all, "4" + all, "5" + all},
		},
		{
			name:   "all together by count",
			config: func(c *ci.Config) { c.KeepTotal = &ci.Keep{Runs: &ci.Limits{Count: 2}} },
			plan:   []string{"1 run", "2 run", "3 run"},
			left:   []string{"4" + all, "5" + all},
			why:    "the newest 2 are kept (keepTotal.runs)",
		},
		{
			name:   "all together by bytes",
			config: func(c *ci.Config) { c.KeepTotal = &ci.Keep{Console: &ci.Limits{Bytes: 59_999}} },
			plan:   []string{"1 console", "2 console", "3 console"},
			left:   []string{"1 results", "2 results", "3 results", "4" + all, "5" + all},
		},
		{
			name: "all together count what the jobs' own limits leave",
			config: func(c *ci.Config) {
				c.Keep = &ci.Keep{Runs: &ci.Limits{Age: hours(35)}}
				c.KeepTotal = &ci.Keep{Runs: &ci.Limits{Bytes: 63_000}, Results: &ci.Limits{Count: 1}}
			},
			plan: []string{"1 run", "2 run", "3 results", "4 results"},
			left: []string{"3 console", "4 console", "5" + all},
		},
		{
			name: "what goes with a run is no news",
			config: func(c *ci.Config) {
				c.Retention = hours(35)
				c.Keep = &ci.Keep{Results: &ci.Limits{Age: hours(1)}}
			},
			plan: []string{"1 run", "2 run", "3 results", "5 results", "4 results"},
			left: []string{"3 console", "4 console", "5 console"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := keeping(t)
			for i, job := range []string{"a", "b", "a", "b", "a"} {
				k.ended(job, time.Duration(50-10*i)*time.Hour)
			}
			if c.job != nil {
				k.put(ci.Job{Name: "a", Freestyle: []byte(`{"script":"true"}`), Keep: c.job})
			}
			k.configure(c.config)
			plan, err := k.PlanRetention(k.ctx, nil, "", 100)
			require.NoError(t, err)
			require.Equal(t, c.plan, planned(plan))
			require.Equal(t, len(c.plan), plan.Runs.Count+plan.Results.Count+plan.Console.Count)
			require.EqualValues(t, 21_000*plan.Runs.Count+1_000*plan.Results.Count+20_000*plan.Console.Count, plan.Runs.Bytes+plan.Results.Bytes+plan.Console.Bytes)
			if c.why != "" {
				require.Equal(t, c.why, plan.Items[0].Reason)
			}
			k.sound()
			require.NoError(t, k.Retain(k.ctx))
			require.Equal(t, c.left, k.has())
			k.sound()
			plan, err = k.PlanRetention(k.ctx, nil, "", 100)
			require.NoError(t, err)
			require.Empty(t, plan.Items, "one round does all")
		})
	}
}

// TestRetentionPlans asks about a configuration that is not set, about one job, and for a few items.
func TestRetentionPlans(t *testing.T) {
	k := keeping(t)
	for i, job := range []string{"a", "b", "a", "b"} {
		k.ended(job, time.Duration(50-10*i)*time.Hour)
	}
	c := ci.DefaultConfig()
	c.KeepTotal = &ci.Keep{Runs: &ci.Limits{Count: 1}}
	plan, err := k.PlanRetention(k.ctx, &c, "", 2)
	require.NoError(t, err)
	require.Equal(t, []string{"1 run", "2 run"}, planned(plan))
	require.Equal(t, ci.Amount{Count: 3, Bytes: 63_000}, plan.Runs, "all are counted")
	plan, err = k.PlanRetention(k.ctx, &c, "b", 100)
	require.NoError(t, err)
	require.Equal(t, []string{"2 run"}, planned(plan))
	require.NoError(t, k.Retain(k.ctx))
	require.Len(t, k.has(), 4, "a plan changes nothing")
}

// TestRetentionKeepsWhatIsReferredTo has runs that something refers to stay,
// and only them: they take nobody's place.
func TestRetentionKeepsWhatIsReferredTo(t *testing.T) {
	k := keeping(t)
	pinned := k.ended("a", 50*time.Hour)
	checked := k.ended("a", 40*time.Hour)
	k.ended("a", 30*time.Hour)
	k.ended("a", 20*time.Hour)
	require.NoError(t, k.db.Write(k.ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.OpenCheck(ctx, ci.OpenCheck{Run: checked.ID, Origin: ci.Origin{Forge: "github"}}); err != nil {
			return err
		}
		return tx.PutPin(ctx, "a", pinned.ID, ci.Pin{Name: "p", Reason: "pipeline release/7", Until: k.db.Now().Add(time.Hour)}, nil, k.db.Now())
	}))
	k.configure(func(c *ci.Config) { c.Keep = &ci.Keep{Runs: &ci.Limits{Count: 1}} })
	plan, err := k.PlanRetention(k.ctx, nil, "", 100)
	require.NoError(t, err)
	require.Equal(t, []string{"1 run: pinned: pipeline release/7", "2 run: a forge is still to be told of its end", "3 run"}, planned(plan))
	require.Equal(t, []ci.Amount{{Count: 1, Bytes: 21_000}, {Count: 2, Bytes: 42_000}}, []ci.Amount{plan.Runs, plan.Kept})
	require.NoError(t, k.Retain(k.ctx))
	require.Equal(t, []string{"1" + all, "2" + all, "4" + all}, k.has())
	k.sound()

	k.exec("DELETE FROM pins")
	require.NoError(t, k.Retain(k.ctx))
	require.Equal(t, []string{"2" + all, "4" + all}, k.has())
	k.sound()
}

// TestRetentionKilled kills the process at every operation of a round: before
// and after each commit, and before, within and after each removal of objects. Whatever
// is there then is whole or says that it went, and the next process finishes the round.
func TestRetentionKilled(t *testing.T) {
	prepare := func(t *testing.T) *kept {
		k := keeping(t)
		for _, ago := range []int{72, 10, 1} {
			k.ended("a", time.Duration(ago)*time.Hour)
		}
		k.configure(func(c *ci.Config) {
			c.Retention = ci.Duration(48 * time.Hour)
			c.Keep = &ci.Keep{Results: &ci.Limits{Age: ci.Duration(5 * time.Hour)}, Console: &ci.Limits{Count: 1}}
		})
		return k
	}
	left := []string{"2", "3" + all}
	counted := prepare(t)
	counted.death.reset(0)
	require.NoError(t, counted.Retain(counted.ctx))
	require.Equal(t, left, counted.has())
	counted.sound()
	ops := counted.death.ops
	require.Greater(t, ops, 20, "commits and removals are counted")
	for at := 1; at <= ops; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			k := prepare(t)
			k.death.reset(at)
			require.ErrorIs(t, k.Retain(k.ctx), errDead)
			k.death.reset(0)
			k.has()

			// The dead one's lease runs out; another process comes.
			k.exec("UPDATE leases SET lease_until = 0")
			next, err := engine.New(k.Config)
			require.NoError(t, err)
			require.NoError(t, next.Retain(k.ctx))
			require.Equal(t, left, k.has())
			k.sound()
		})
	}
}

// TestRetentionWithoutObjectStore has an object store that refuses one run's
// objects: the others go, and its go when it takes them.
func TestRetentionWithoutObjectStore(t *testing.T) {
	k := keeping(t)
	for range 3 {
		k.ended("a", 50*time.Hour)
	}
	refused := refuses{k.Blobs, "runs/2/"}
	c := k.Config
	c.Blobs = &refused
	e, err := engine.New(c)
	require.NoError(t, err)
	k.configure(func(c *ci.Config) { c.Retention = ci.Duration(time.Hour) })
	require.ErrorContains(t, e.Retain(k.ctx), "removing the objects below runs/2/")
	refused.prefix = ""
	require.NoError(t, e.Retain(k.ctx))
	require.Empty(t, k.has())
	k.sound()
}

// TestRetentionGoesOn has an object store that refuses one run's objects, and then
// all: the first holds up no rule that comes later, and the second stops the round,
// since nothing would come of it but a longer trash.
func TestRetentionGoesOn(t *testing.T) {
	for prefix, left := range map[string][]string{"runs/1/": {"3 results"}, "runs/": {"3" + all}} {
		t.Run(prefix, func(t *testing.T) {
			k := keeping(t)
			k.ended("a", 50*time.Hour)
			k.ended("a", 50*time.Hour)
			k.ended("a", 10*time.Hour)
			refused := refuses{k.Blobs, prefix}
			c := k.Config
			c.Blobs = &refused
			e, err := engine.New(c)
			require.NoError(t, err)
			k.configure(func(c *ci.Config) {
				c.Retention = ci.Duration(30 * time.Hour)
				c.KeepTotal = &ci.Keep{Console: &ci.Limits{Count: 1, Bytes: 1}}
			})
			require.ErrorContains(t, e.Retain(k.ctx), "removing the objects below runs/")
			require.Equal(t, left, k.has())
			refused.prefix = ""
			require.NoError(t, e.Retain(k.ctx))
			require.Equal(t, []string{"3 results"}, k.has())
			k.sound()
		})
	}
}

// TestRetentionAndIdempotency repeats a trigger whose run is kept no longer: it went, and no other is made.
func TestRetentionAndIdempotency(t *testing.T) {
	k := keeping(t)
	again := ci.Trigger{Job: "a", By: "tester", IdempotencyKey: "once"}
	run := k.ended("a", 50*time.Hour, "once")
	got, _, err := k.Trigger(k.ctx, again)
	require.NoError(t, err)
	require.Equal(t, run.ID, got.ID)
	k.configure(func(c *ci.Config) { c.Retention = ci.Duration(time.Hour) })
	require.NoError(t, k.Retain(k.ctx))
	_, _, err = k.Trigger(k.ctx, again)
	require.Equal(t, ci.CodeExpired, ci.CodeOf(err))
	require.ErrorContains(t, err, "made run 1 of job a, which is kept no longer")
	require.Empty(t, k.has())
}

// TestRetentionChanged changes the limits while a round removes: from then on the
// new ones count, in the same round.
func TestRetentionChanged(t *testing.T) {
	hour := ci.Duration(time.Hour)
	for _, c := range []struct {
		name   string
		change func(*kept)
		left   []string
	}{
		{"nothing", func(*kept) {}, []string{"1"}},
		{"the configuration keeps all", func(k *kept) { k.configure(func(*ci.Config) {}) }, []string{"1 console"}},
		{"the configuration keeps nothing", func(k *kept) { k.configure(func(c *ci.Config) { c.Retention = hour }) }, nil},
		{"a job keeps more", func(k *kept) {
			k.put(ci.Job{Name: "a", Freestyle: []byte(`{"script":"true"}`), Keep: &ci.Keep{Console: &ci.Limits{}}})
		}, []string{"1 console"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := keeping(t)
			k.ended("a", 50*time.Hour)
			k.configure(func(c *ci.Config) {
				c.Keep = &ci.Keep{Results: &ci.Limits{Age: hour}, Console: &ci.Limits{Age: hour}}
			})
			config := k.Config
			config.Blobs = &changes{Store: k.Blobs, change: func() { c.change(k) }}
			e, err := engine.New(config)
			require.NoError(t, err)
			require.NoError(t, e.Retain(k.ctx))
			require.Equal(t, c.left, k.has())
			k.sound()
		})
	}
}

// changes is an object store at whose first removal something happens.
type changes struct {
	blob.Store
	once   sync.Once
	change func()
}

func (c *changes) DeletePrefix(ctx context.Context, prefix string) error {
	c.once.Do(c.change)
	return c.Store.DeletePrefix(ctx, prefix)
}

type refuses struct {
	blob.Store
	prefix string
}

func (r *refuses) DeletePrefix(ctx context.Context, prefix string) error {
	if r.prefix != "" && strings.HasPrefix(prefix, r.prefix) {
		return ci.Errorf(ci.CodeUnavailable, "the object store is away")
	}
	return r.Store.DeletePrefix(ctx, prefix)
}

// TestRetentionIsDoneByOne has a second process leave it to the first.
func TestRetentionIsDoneByOne(t *testing.T) {
	k := keeping(t)
	require.NoError(t, k.Retain(k.ctx))
	k.ended("a", 50*time.Hour)
	k.configure(func(c *ci.Config) { c.Retention = ci.Duration(time.Hour) })
	other, err := engine.New(k.Config)
	require.NoError(t, err)
	require.ErrorContains(t, other.Retain(k.ctx), "another cid has the lease")
	require.Len(t, k.has(), 1)
	require.NoError(t, k.Retain(k.ctx))
	require.Empty(t, k.has())
}
