package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"ci/e2e/rig"
)

// fleetRun is a run that was accepted.
type fleetRun struct {
	id   int64
	job  string
	loud bool
}

func (r fleetRun) path() string { return fmt.Sprintf("/jobs/%s/runs/%d", r.job, r.id) }

// ended is what was read of a run that had ended: it never changes.
type ended struct {
	fleetRun
	document, console, saved, printed string
}

// hurt is the moment at which an agent was hurt, and what it held.
type hurt struct {
	at    time.Time
	over  time.Time        // when its runs are safe again; zero means at once
	gates map[int64]string // where held runs wait
	open  map[int64]bool   // whose gates are open by now
	held  []fleetRun       // the victim's
}

// meet triggers runs, lets the fault happen meanwhile, and waits for all.
func (f *fleet) meet(fault fleetFault) map[string]int {
	f.t.Helper()
	wait := time.Duration(f.random.Float64() * float64(1500*time.Millisecond))
	runs := make([]fleetRun, f.runs)
	for i := range runs {
		runs[i] = fleetRun{job: []string{"record", "record", "neighbour"}[f.random.IntN(3)], loud: i%3 == 0}
	}
	f.hurt = hurt{gates: map[int64]string{}, open: map[int64]bool{}}
	if fault.harm == loses || fault.harm == breaks {
		held, err := f.hold(fault.name, f.machines[fault.victim].id)
		require.NoError(f.t, err, fault.name)
		f.hurt.held = held
	}
	var g errgroup.Group
	g.SetLimit(4)
	var happening sync.WaitGroup
	happening.Go(func() {
		moment := time.NewTimer(wait)
		<-moment.C
		if err := fault.happens(f); err != nil {
			f.t.Errorf("%s: %v", fault.name, err)
		}
		f.letGo(true)
	})
	for i := range runs {
		at := f.random.IntN(2)
		g.Go(func() error { return f.trigger(at, fmt.Sprintf("%s/%d", fault.name, i), &runs[i], "") })
	}
	require.NoError(f.t, g.Wait())
	happening.Wait()
	for r := range f.hurt.gates {
		runs = append(runs, fleetRun{id: r, job: "record"})
	}
	f.made = append(f.made, runs...)
	outcomes := map[string]int{}
	for i, r := range runs {
		run := f.await(r)
		outcomes[run.Outcome]++
		if run.Outcome == "succeeded" {
			f.carried[run.Agent]++
		}
		f.check(fault, r, run)
		if i < sampled {
			f.gone(fault, run)
		}
	}
	f.victims(fault)
	f.again(fault.name)
	for _, r := range runs {
		e, err := f.read(r)
		require.NoError(f.t, err)
		f.kept = append(f.kept, e)
	}
	require.False(f.t, f.t.Failed(), "%s: see above", fault.name)
	return outcomes
}

// hold has runs wait at gates until each place of the fleet is taken by one, or
// the victim has one at least: whatever happens to it then happens to a run.
func (f *fleet) hold(name, victim string) (held []fleetRun, err error) {
	const places = 9 // each of three agents has room for three
	waiting, made := map[int64]string{}, 0
	err = rig.Poll(f.ctx, 2*time.Minute, func() error {
		for ; len(waiting) < places && made < 5*places; made++ {
			r := fleetRun{job: "record"}
			gate := fmt.Sprintf("%s/%d", strings.ReplaceAll(name, " ", "-"), made)
			if err := f.trigger(made%2, "held/"+gate, &r, gate); err != nil {
				return err
			}
			f.hurt.gates[r.id], waiting[r.id] = gate, gate
		}
		words := f.recorder.Words()
		for id, gate := range waiting {
			run, err := f.cids[0].Client().Get(f.ctx, "record", id)
			switch {
			case err != nil:
				return err
			case run.Status == "done": // the victim was not well yet
				delete(waiting, id)
			case run.Agent == victim && slices.Contains(words, "gate/"+gate):
				held = append(held, fleetRun{id: id, job: "record"})
			}
		}
		if len(held) == 0 {
			return fmt.Errorf("agent %s has none of %d runs", victim, len(waiting))
		}
		return nil
	})
	return held, err
}

// now says that the victim is hurt: what others hold may go on.
func (f *fleet) now() {
	f.hurt.at = time.Now()
	f.letGo(false)
}

// letGo opens the gates: those of the victim's runs only when all is over, so
// that a victim that wakes finds them as it left them.
func (f *fleet) letGo(all bool) {
	for id, gate := range f.hurt.gates {
		mine := slices.ContainsFunc(f.hurt.held, func(r fleetRun) bool { return r.id == id })
		if (all || !mine) && !f.hurt.open[id] {
			f.hurt.open[id] = true
			f.recorder.Open(gate)
		}
	}
}

// victims wants the runs that the victim held to be lost, or broken.
func (f *fleet) victims(fault fleetFault) {
	for _, r := range f.hurt.held {
		run, err := f.cids[0].Client().Get(f.ctx, r.job, r.id)
		if err != nil || !f.mayEnd(fault, run) && !f.mute(fault, run) {
			f.t.Errorf("%s: run %d was in the hands of %s then, and is %s: %s %v", fault.name, r.id, run.Agent, run.Outcome, run.Reason, err)
		}
	}
}

// trigger triggers until a cid has acknowledged; the key keeps the run single.
func (f *fleet) trigger(at int, key string, r *fleetRun, gate string) error {
	parameters := map[string]string{"GATE": gate}
	if r.loud {
		parameters["LOUD"] = "yes"
	}
	body, err := json.Marshal(map[string]any{"parameters": parameters})
	if err != nil {
		return err
	}
	return rig.Poll(f.ctx, 2*time.Minute, func() error {
		at = 1 - at
		a, err := f.cids[at].Client().Do(f.ctx, http.MethodPost, "/jobs/"+r.job+"/runs", body, "Idempotency-Key: "+key)
		if err != nil {
			return err
		}
		if a.Status != http.StatusCreated {
			return fmt.Errorf("%d: %s", a.Status, a.Body)
		}
		_, err = fmt.Sscanf(string(a.Body), `{"id":%d`, &r.id)
		return err
	})
}

// await waits for a run's end, at whichever cid answers.
func (f *fleet) await(r fleetRun) (run rig.Run) {
	f.t.Helper()
	at := 0
	require.NoError(f.t, rig.Poll(f.ctx, 4*time.Minute, func() (err error) {
		at = 1 - at
		if run, err = f.cids[at].Client().Wait(f.ctx, r.job, r.id, 10*time.Second); err == nil && run.Status != "done" {
			err = fmt.Errorf("run %d is still %s", r.id, run.Phase)
		}
		return err
	}))
	return run
}

// check compares a run's end with what its script told, and with its console.
func (f *fleet) check(fault fleetFault, r fleetRun, run rig.Run) {
	said := map[string]int{}
	for _, word := range f.recorder.Words() {
		said[word]++
		if strings.HasPrefix(word, fmt.Sprintf("leak/%d/", r.id)) {
			f.t.Errorf("%s: run %d saw what it must not: %s", fault.name, r.id, word)
		}
	}
	began, ended := said[fmt.Sprintf("begun/%d", r.id)], said[fmt.Sprintf("ended/%d", r.id)]
	switch {
	case f.mute(fault, run) && began <= 1 && ended <= began:
	case run.Outcome == "succeeded" && (began != 1 || ended != 1):
		f.t.Errorf("%s: run %d succeeded, began %d times and ended %d times", fault.name, r.id, began, ended)
	case run.Outcome == "succeeded":
	case !f.mayEnd(fault, run):
		f.t.Errorf("%s: run %d of %s: %s: %s", fault.name, r.id, run.Agent, run.Outcome, run.Reason)
	case began > 1 || ended > began:
		f.t.Errorf("%s: run %d (%s) began %d times and ended %d times", fault.name, r.id, run.Outcome, began, ended)
	case began == 1 && !run.ScriptStarted:
		f.t.Errorf("%s: run %d says that no script had begun (%s), and it had", fault.name, r.id, run.Reason)
	}
	if err := f.whole(r, run, said); err != nil && !(f.mute(fault, run) && errors.Is(err, errUntold)) {
		f.t.Errorf("%s: run %d (%s): %v", fault.name, r.id, run.Outcome, err)
	}
}

// engineGone is what a run says whose engine has ended, before, under or after its script.
var engineGone = regexp.MustCompile(`daemon|engine|Docker|container`)

// mayEnd says whether a run may end otherwise than by its script: it was in the
// hands of the fault's victim.
func (f *fleet) mayEnd(fault fleetFault, run rig.Run) bool {
	if fault.harm == harmless || run.Agent != f.machines[fault.victim].id {
		return false
	}
	if fault.harm == fills {
		return run.Outcome == "error" && strings.Contains(run.Reason, "disk is full")
	}
	until := f.hurt.at
	if !f.hurt.over.IsZero() {
		until = f.hurt.over
	}
	const underway = time.Second // a claim that was sent, and not answered
	if !run.Times.Claimed.Before(until.Add(underway)) {
		return false
	}
	if fault.harm == breaks {
		return run.Outcome == "error" && engineGone.MatchString(run.Reason)
	}
	return run.Outcome == "lost"
}

var errUntold = errors.New("its script did not tell of what is stored")

// mute says whether a run may have succeeded without a word: an engine that ends
// takes the network first, and a script that is nearly done comes to its end without.
func (f *fleet) mute(fault fleetFault, run rig.Run) bool {
	return fault.harm == breaks && run.Outcome == "succeeded" && run.Agent == f.machines[fault.victim].id && run.Times.Claimed.Before(f.hurt.at.Add(time.Second))
}

// whole says what is wrong with a run's console and results: they are what its
// script printed and saved, all of it if it succeeded, else up to some point.
func (f *fleet) whole(r fleetRun, run rig.Run, said map[string]int) error {
	want := printed(r.id, r.loud)
	shown := want
	if r.job == "record" && f.canary != "" {
		shown = masked + want
	}
	console, err := f.fetch(r.path() + "/results/console")
	if err != nil {
		return err
	}
	got := spoken(console)
	if run.Outcome != "succeeded" {
		if !strings.HasPrefix(shown, got) && !strings.HasPrefix(shown, strings.TrimSuffix(got, "\n")) {
			return fmt.Errorf("its console is not what it printed at first: %q", got)
		}
		return nil
	}
	if got != shown {
		return fmt.Errorf("its console is not what it printed, %d bytes, but %d: %q", len(shown), len(got), got)
	}
	id, idErr := f.fetch(r.path() + "/results/id")
	saved, savedErr := f.fetch(r.path() + "/results/printed")
	if err := errors.Join(idErr, savedErr); err != nil {
		return err
	}
	if id != fmt.Sprintln(r.id) || saved != want {
		return fmt.Errorf("its results are not what it saved: %q and %d bytes for %d", id, len(saved), len(want))
	}
	if word := fmt.Sprintf("saved/%d/%s/%s", r.id, sum(id), sum(saved)); said[word] != 1 {
		return fmt.Errorf("%w: %s", errUntold, word)
	}
	return nil
}

// fetch reads something whole. It tries again: the database may have been away a moment ago.
func (f *fleet) fetch(path string) (text string, err error) {
	at := 0
	return text, rig.Poll(f.ctx, 2*time.Minute, func() error {
		at = 1 - at
		a, err := f.cids[at].Client().Do(f.ctx, http.MethodGet, path, nil)
		if err == nil && a.Status != http.StatusOK {
			err = fmt.Errorf("GET %s: %d: %s", path, a.Status, a.Body)
		}
		if err == nil {
			text = string(a.Body)
		}
		return err
	})
}

// read reads all that there is of a run that has ended.
func (f *fleet) read(r fleetRun) (e ended, err error) {
	e.fleetRun = r
	if e.document, err = f.fetch(r.path()); err != nil {
		return e, err
	}
	var run rig.Run
	if err := json.Unmarshal([]byte(e.document), &run); err != nil {
		return e, err
	}
	parts := map[string]*string{"console": &e.console}
	if run.Outcome == "succeeded" {
		parts["id"], parts["printed"] = &e.saved, &e.printed
	}
	for name, to := range parts {
		text, err := f.fetch(r.path() + "/results/" + name)
		if err != nil {
			return e, err
		}
		*to = sum(text)
	}
	return e, nil
}

// again reads runs that had ended before a fault, all of the fault before it and
// some earlier ones: they are as they were.
func (f *fleet) again(fault string) {
	f.t.Helper()
	latest := max(0, len(f.kept)-f.runs)
	some := slices.Clone(f.kept[latest:])
	for range min(sampled, latest) {
		some = append(some, f.kept[f.random.IntN(latest)])
	}
	f.same(fault, some)
}

func (f *fleet) same(when string, runs []ended) {
	f.t.Helper()
	var g errgroup.Group
	g.SetLimit(4)
	for _, was := range runs {
		g.Go(func() error {
			is, err := f.read(was.fleetRun)
			if err == nil && is != was {
				err = fmt.Errorf("%s: run %d was %+v and is %+v", when, was.id, was, is)
			}
			return err
		})
	}
	require.NoError(f.t, g.Wait())
}
