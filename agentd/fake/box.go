package fake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"ci/agentd/runner"
	"ci/pkg/ci"
)

// errLost is what a run gets whose container went away.
var errLost = errors.New("its first process ended without a word")

type box struct {
	driver *Driver
	order  runner.Order
	steps  []step

	mu         sync.Mutex
	ignoreTerm bool
	termed     bool
	killed     bool
	failRemove bool // the first time
	keep       bool // for ever
	term, kill chan struct{}
	results    map[string]string
	collecting time.Duration
}

// Run implements runner.Box.
func (b *box) Run(ctx context.Context, started func(), console io.Writer) (runner.Exit, error) {
	started()
	for _, s := range b.steps {
		exit, over, err := b.play(ctx, s, console)
		if over || err != nil {
			return exit, err
		}
		if exit, over := b.interrupted(); over {
			return exit, ctx.Err()
		}
		if ctx.Err() != nil {
			return runner.Exit{}, ctx.Err()
		}
	}
	return runner.Exit{}, nil
}

// play carries out one step; over says that it was the last.
func (b *box) play(ctx context.Context, s step, console io.Writer) (exit runner.Exit, over bool, err error) {
	switch s.verb {
	case "print":
		_, err = io.WriteString(console, s.rest+"\n")
	case "write":
		_, err = io.WriteString(console, s.rest)
	case "flood":
		err = flood(console, s.rest)
	case "log":
		serviceLog(b.order, s.rest)
	case "log-flood":
		name, n, _ := strings.Cut(s.rest, " ")
		err = flood(b.order.Tell.ServiceLog(name), n)
	case "say":
		b.order.Tell.Say(s.rest)
	case "env":
		_, err = io.WriteString(console, b.env(s.rest)+"\n")
	case "sleep":
		pause(ctx, s.duration(), b.terms(), b.kill)
	case "exit":
		code, _ := strconv.Atoi(s.rest)
		return runner.Exit{Code: code}, true, nil
	case "kill":
		return runner.Exit{Code: 139, Signal: s.rest}, true, nil
	case "oom":
		return runner.Exit{Code: 137, Signal: "KILL", OOMKilled: true}, true, nil
	case "lose":
		return runner.Exit{}, true, errLost
	case "panic":
		panic("the script says so")
	default:
		if !b.note(s) {
			fmt.Fprintf(console, "sh: %s: not found\n", s.verb)
			return runner.Exit{Code: 127}, true, nil
		}
	}
	if err != nil { // nobody reads the output any more: as SIGPIPE
		return runner.Exit{Code: 141, Signal: "PIPE"}, true, nil
	}
	return runner.Exit{}, false, nil
}

// note remembers what a step says about the box; false means that there is no such step.
func (b *box) note(s step) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch s.verb {
	case "ignore-term":
		b.ignoreTerm = true
	case "result":
		name, text, _ := strings.Cut(s.rest, " ")
		b.results[name] = text
	case "collect-sleep":
		b.collecting = s.duration()
	case "remove-fail":
		b.failRemove = true
	case "remove-never":
		b.keep = true
	default:
		return false
	}
	return true
}

// terms is closed by SIGTERM, unless the script ignores it.
func (b *box) terms() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ignoreTerm {
		return nil
	}
	return b.term
}

func (b *box) interrupted() (runner.Exit, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.killed:
		return runner.Exit{Code: 137, Signal: "KILL"}, true
	case b.termed && !b.ignoreTerm:
		return runner.Exit{Code: 143, Signal: "TERM"}, true
	}
	return runner.Exit{}, false
}

// Signal implements runner.Box.
func (b *box) Signal(s runner.Signal) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case s == runner.Kill && !b.killed:
		b.killed = true
		close(b.kill)
	case s == runner.Terminate && !b.termed:
		b.termed = true
		close(b.term)
	}
	return nil
}

// Collect implements runner.Box.
func (b *box) Collect(ctx context.Context, specs []ci.ResultSpec, put func(ci.Result, io.Reader) error) ([]runner.Missing, error) {
	if !pause(ctx, b.collecting, nil, nil) {
		return nil, ctx.Err()
	}
	var missing []runner.Missing
	left := b.order.MaxResult
	for _, spec := range specs {
		text, ok := b.results[spec.Name]
		if !ok {
			missing = append(missing, runner.Missing{Name: spec.Name, Reason: fmt.Sprintf("%s matches no file", spec.Path)})
			continue
		}
		if left -= int64(len(text)); left < 0 {
			missing = append(missing, runner.Missing{
				Name: spec.Name, TooLarge: true,
				Reason: "the results are over the limit of " + ci.Bytes(b.order.MaxResult),
			})
			continue
		}
		r := ci.Result{Name: spec.Name, ContentType: spec.Type, Filename: spec.Name, Files: 1}
		if err := put(r, strings.NewReader(text)); err != nil {
			return missing, err
		}
	}
	return missing, nil
}

// Remove implements runner.Box.
func (b *box) Remove(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	fail := b.failRemove || b.keep
	b.failRemove = false
	b.mu.Unlock()
	if fail {
		return errors.New("the container is busy")
	}
	b.driver.mu.Lock()
	defer b.driver.mu.Unlock()
	delete(b.driver.boxes, b.order.Run)
	return nil
}

func (b *box) env(name string) string {
	for _, kv := range b.order.Env {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v
		}
	}
	return ""
}

// serviceLog has the service of the first word print the rest.
func serviceLog(o runner.Order, line string) {
	name, text, _ := strings.Cut(line, " ")
	fmt.Fprintln(o.Tell.ServiceLog(name), text)
}

// flood writes n bytes in numbered lines.
func flood(w io.Writer, n string) error {
	left, _ := strconv.Atoi(n)
	var block bytes.Buffer
	for i := 0; left > 0; i++ {
		fmt.Fprintf(&block, "line %d of a flood that nobody asked for\n", i)
		if block.Len() < 32<<10 && block.Len() < left {
			continue
		}
		block.Truncate(min(left, block.Len()))
		left -= block.Len()
		if _, err := block.WriteTo(w); err != nil {
			return err
		}
	}
	return nil
}
