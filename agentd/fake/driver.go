// Package fake stands in for Docker, and for a backend, where runs should cost
// nothing: in tests, and for load at scale. Driver plays a small script
// (see Driver), Backend is a faithful state machine in memory.
package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"ci/agentd/runner"
)

// Driver is a runner.Driver whose containers are goroutines' worth of memory.
// A run's script is a list of steps, separated by newlines or semicolons:
//
//	prepare-sleep 1s     (while preparing) take so long
//	prepare-fail TEXT    (while preparing) fail with a sentence
//	prepare-panic        (while preparing) panic
//	prepare-log NAME TEXT (while preparing) have a service print a line
//	sleep 50ms           take so long
//	print TEXT           write a line        write TEXT    write without a line's end
//	flood 10000000       write so many bytes, in lines
//	env NAME             write a variable's value
//	result NAME TEXT     have a result, if the job's file names it
//	log NAME TEXT        have a service print a line
//	log-flood NAME 10000000  have it print so many bytes
//	say TEXT             say a line as a driver does
//	collect-sleep 1s     take so long while collecting
//	exit 3               end with a status   kill SEGV     end by a signal
//	oom                  be killed for memory
//	ignore-term          do not mind SIGTERM from here on
//	lose                 lose the container  panic         panic in the agent
//	remove-fail          can't be removed the first time
//	remove-never         can't be removed at all
type Driver struct {
	mu     sync.Mutex
	ready  error
	opened int
	closed int
	boxes  map[int64]*box
	made   int
	peak   int
	// networks that are left; less than nothing is no limit
	networks int
}

// NewDriver makes a driver that is ready.
func NewDriver() *Driver { return &Driver{boxes: map[int64]*box{}, networks: -1} }

// SetReady makes the driver fail with err from now on; nil heals it.
func (d *Driver) SetReady(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ready = err
}

// SetNetworks limits how many runs get a network; each run takes one.
func (d *Driver) SetNetworks(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.networks = n
}

// FreeNetworks implements runner.Driver.
func (d *Driver) FreeNetworks() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.networks < 0 {
		return math.MaxInt
	}
	return d.networks - len(d.boxes)
}

// Boxes returns the runs whose containers exist, ascending.
func (d *Driver) Boxes() []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	var runs []int64
	for run := range d.boxes {
		runs = append(runs, run)
	}
	slices.Sort(runs)
	return runs
}

// Counts returns how many containers were made and how many there were at most at one time.
func (d *Driver) Counts() (made, peak int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.made, d.peak
}

// Lives returns how often the driver was opened and closed.
func (d *Driver) Lives() (opened, closed int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opened, d.closed
}

// Warnings implements runner.Driver.
func (d *Driver) Warnings() []string { return nil }

// Ready implements runner.Driver.
func (d *Driver) Ready(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ready
}

// Open implements runner.Driver.
func (d *Driver) Open(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ready == nil {
		d.opened++
	}
	return d.ready
}

// Close implements runner.Driver.
func (d *Driver) Close(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed++
	return nil
}

// Sweep implements runner.Driver.
func (d *Driver) Sweep(_ context.Context, live []int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for run := range d.boxes {
		if !slices.Contains(live, run) {
			delete(d.boxes, run)
		}
	}
	return 0, d.ready
}

// Prepare implements runner.Driver.
func (d *Driver) Prepare(ctx context.Context, o runner.Order, console io.Writer) (runner.Box, error) {
	if err := d.Ready(ctx); err != nil {
		return nil, err
	}
	b := &box{driver: d, order: o, term: make(chan struct{}), kill: make(chan struct{}), results: map[string]string{}}
	for _, s := range parse(o.Spec.Script) {
		if !strings.HasPrefix(s.verb, "prepare-") {
			b.steps = append(b.steps, s)
			continue
		}
		fmt.Fprintln(console, s.verb, s.rest)
		switch s.verb {
		case "prepare-fail":
			return nil, errors.New(s.rest)
		case "prepare-log":
			serviceLog(o, s.rest)
		case "prepare-panic":
			panic("prepare-panic")
		case "prepare-sleep":
			if !pause(ctx, s.duration(), nil, nil) {
				return nil, ctx.Err()
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.boxes[o.Run] = b
	d.made++
	d.peak = max(d.peak, len(d.boxes))
	return b, nil
}

// step is one line of a script.
type step struct{ verb, rest string }

func parse(script string) []step {
	var steps []step
	for _, line := range strings.FieldsFunc(script, func(r rune) bool { return r == '\n' || r == ';' }) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if verb != "" && !strings.HasPrefix(verb, "#") {
			steps = append(steps, step{verb, strings.TrimSpace(rest)})
		}
	}
	return steps
}

func (s step) duration() time.Duration {
	d, _ := time.ParseDuration(s.rest) // a script that says nonsense sleeps not at all
	return d
}

// pause waits and says whether all of the time has passed.
func pause(ctx context.Context, d time.Duration, term, kill <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-term:
	case <-kill:
	}
	return false
}
