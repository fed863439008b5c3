package engine

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"time"

	"ci/backend/store"
	"ci/pkg/ci"
)

const (
	// keptPage is how many runs are looked at, and removed, at a time.
	keptPage = 100
	// countPage is how many runs are counted at a time; they are read and nothing else.
	countPage = 1000
	// planMost is how many items a plan looks at.
	planMost = 100_000
)

// rule is the limits on one kind of one job, or of all jobs together.
type rule struct {
	what   ci.Kept
	job    string // "" is all
	limits ci.Limits
	name   string // how people call it
}

// limits are all that somebody has said about what is kept.
type limits struct {
	config *ci.Config
	jobs   map[string]*ci.Keep // what jobs say, by name
}

// limitReader is the database, or a transaction.
type limitReader interface {
	GetConfig(ctx context.Context) (*ci.Config, error)
	JobsThatKeep(ctx context.Context) (map[string]*ci.Keep, error)
}

func readLimits(ctx context.Context, from limitReader) (l limits, err error) {
	if l.config, err = from.GetConfig(ctx); err != nil {
		return l, err
	}
	l.jobs, err = from.JobsThatKeep(ctx)
	return l, err
}

// same says whether nobody has said anything else meanwhile.
func (l limits) same(other limits) bool {
	return l.config.Version == other.config.Version && reflect.DeepEqual(l.jobs, other.jobs)
}

// rules are all rules that limit anything: whole runs first, and of each kind
// the jobs' own before those of all together, which then find less.
func (e *Engine) rules(ctx context.Context, by limits) (list []rule, err error) {
	config, own := by.config, by.jobs
	var jobs []string
	if len(own) > 0 || config.Keep != nil {
		if jobs, err = e.Store.JobsOfDone(ctx); err != nil {
			return nil, err
		}
	}
	add := func(r rule, l *ci.Limits) {
		if !l.None() {
			r.limits = *l
			list = append(list, r)
		}
	}
	for _, what := range ci.Kinds {
		for _, job := range jobs {
			name, limits := "keep."+what.Key(), config.Keep.Of(what)
			if mine := own[job].Of(what); mine != nil {
				name, limits = name+" of job "+job, mine
			}
			add(rule{what: what, job: job, name: name}, limits)
		}
		if what == ci.KeptRun {
			add(rule{what: what, name: "retention"}, &ci.Limits{Age: config.Retention})
		}
		add(rule{what: what, name: "keepTotal." + what.Key()}, config.KeepTotal.Of(what))
	}
	return list, nil
}

// bound is where a rule cuts: what lies at or before it goes.
type bound struct {
	store.Mark
	reason string
}

// bounds finds where a rule cuts, by each of its limits. Counts and bytes are
// looked for from the newest on, so that somebody who removes old runs at the
// same time changes nothing. Runs for which gone is true are left out.
func (e *Engine) bounds(ctx context.Context, r rule, now time.Time, gone func(run int64) bool) ([]bound, error) {
	var cuts []bound
	if r.limits.Age > 0 {
		// A run that ended exactly then is kept: no run has the number -1.
		cuts = append(cuts, bound{store.Mark{Done: now.Add(-time.Duration(r.limits.Age)), Run: -1}, "it ended more than " + short(r.limits.Age) + " ago"})
	}
	if r.limits.Count == 0 && r.limits.Bytes == 0 {
		return cuts, nil
	}
	n, sum, full, many := 0, int64(0), false, false
	for run, err := range e.newest(ctx, r) {
		if err != nil {
			return nil, err
		}
		if gone(run.Run) {
			continue
		}
		n, sum = n+1, sum+run.Bytes
		if l := r.limits.Count; !many && l > 0 && n > l {
			many = true
			cuts = append(cuts, bound{run.Mark, fmt.Sprintf("the newest %d are kept", l)})
		}
		if l := r.limits.Bytes; !full && l > 0 && sum > l && (r.job == "" || n > 1) {
			full = true
			cuts = append(cuts, bound{run.Mark, "the newest that have " + ci.Bytes(l) + " together are kept"})
		}
		if (many || r.limits.Count == 0) && (full || r.limits.Bytes == 0) {
			break
		}
	}
	return cuts, nil
}

// newest goes through what a rule is about, newest first.
func (e *Engine) newest(ctx context.Context, r rule) iter.Seq2[store.Stored, error] {
	return func(yield func(store.Stored, error) bool) {
		var before *store.Mark
		for {
			page, err := e.Store.Newest(ctx, r.what, r.job, before, countPage)
			if err != nil {
				yield(store.Stored{}, err)
				return
			}
			for _, run := range page {
				if !yield(run, nil) {
					return
				}
			}
			if len(page) < countPage {
				return
			}
			before = &page[len(page)-1].Mark
		}
	}
}

// over hands what a rule does not want to each, in pages, oldest first.
func (e *Engine) over(ctx context.Context, r rule, now time.Time, gone func(run int64) bool, each func([]ci.Expiry) error) error {
	cuts, err := e.bounds(ctx, r, now, gone)
	if err != nil || len(cuts) == 0 {
		return err
	}
	var after store.Mark
	for {
		page, err := e.Store.Oldest(ctx, r.what, r.job, after, keptPage, now)
		if err != nil || len(page) == 0 {
			return err
		}
		var items []ci.Expiry
		unwanted := true
		for _, run := range page {
			reason := cut(cuts, run.Mark)
			if unwanted = reason != ""; !unwanted {
				break
			}
			if !gone(run.Run) {
				items = append(items, ci.Expiry{
					RunRef: ci.RunRef{Job: run.Job, Run: run.Run}, What: r.what, Bytes: run.Bytes, Done: run.Done,
					Reason: reason + " (" + r.name + ")", Kept: run.Kept,
				})
			}
		}
		if len(items) > 0 {
			if err := each(items); err != nil {
				return err
			}
		}
		if !unwanted || len(page) < keptPage {
			return nil
		}
		after = page[len(page)-1].Mark
	}
}

// cut says why a run goes; "" when it stays.
func cut(cuts []bound, at store.Mark) string {
	for _, c := range cuts {
		if !c.Before(at) {
			return c.reason
		}
	}
	return ""
}

// short is a duration without the zeros at its end: 720h, not 720h0m0s.
func short(d ci.Duration) string {
	h := time.Duration(d)
	switch {
	case h%time.Hour == 0:
		return fmt.Sprintf("%dh", h/time.Hour)
	case h%time.Minute == 0:
		return fmt.Sprintf("%dm", h/time.Minute)
	}
	return h.String()
}

// errEnough ends a plan that has looked at all that it may.
var errEnough = ci.Errorf(ci.CodeInternal, "enough was looked at")

// PlanRetention says what would go by a configuration, nil for the present one,
// and removes nothing. job "" is all; of another one only what is its own is
// listed, and the limits of all together are applied to all. Up to limit items are listed.
func (e *Engine) PlanRetention(ctx context.Context, config *ci.Config, job string, limit int) (*ci.RetentionPlan, error) {
	if !e.dryRun.TryLock() { // one may look at every run that is kept
		return nil, ci.Errorf(ci.CodeTooMany, "somebody else is asking already what would go; try again in a moment")
	}
	defer e.dryRun.Unlock()
	by, err := readLimits(ctx, e.Store)
	if err != nil {
		return nil, err
	}
	if config != nil {
		by.config = config
	}
	rules, err := e.rules(ctx, by)
	if err != nil {
		return nil, err
	}
	plan, now, seen := &ci.RetentionPlan{Items: []ci.Expiry{}}, e.Store.Now(), 0
	taken := map[ci.Kept]map[int64]bool{ci.KeptRun: {}, ci.KeptResults: {}, ci.KeptConsole: {}}
	for _, r := range rules {
		gone := func(run int64) bool { return taken[ci.KeptRun][run] || taken[r.what][run] }
		err := e.over(ctx, r, now, gone, func(items []ci.Expiry) error {
			for _, x := range items {
				_, seen := taken[r.what][x.Run]
				taken[r.what][x.Run] = x.Kept == ""
				if !seen && (job == "" || x.Job == job) {
					plan.Add(x)
					if len(plan.Items) < limit {
						plan.Items = append(plan.Items, x)
					}
				}
			}
			if seen += len(items); seen >= planMost {
				plan.More = true
				return errEnough
			}
			return nil
		})
		if err == errEnough {
			return plan, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return plan, nil
}
