// Command fleet measures what many agents and many runs cost: the real engine,
// store and queue, with agents whose containers are played (agentd/fake). It
// prints how the figures grow; absolute times move with the machine.
//
//	go run ./e2e/bench/fleet [-on postgres,sqlite] [-agents 10,100,1000] [-runs 2000] [-stored 50000] [-own] [-day=false]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"
)

// settings are what a measurement is asked to do.
type settings struct {
	on     []string // databases
	agents []int    // sizes of the fleet, ascending
	runs   int      // drained by the largest fleet
	stored int      // done runs that lie in the database at the end
	probes int      // single triggers whose claim is timed, for each fleet
	idle   time.Duration
	day    bool
	seed   uint64
	own    bool // each agent has database connections of its own, as on machines of their own
}

func main() {
	s, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := s.measure(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

func parse(args []string) (*settings, error) {
	s := &settings{}
	fs := flag.NewFlagSet("fleet", flag.ContinueOnError)
	on := fs.String("on", "postgres,sqlite", "databases")
	agents := fs.String("agents", "10,100,300", "sizes of the fleet, ascending")
	fs.IntVar(&s.runs, "runs", 2000, "queued runs that the largest fleet drains")
	fs.IntVar(&s.stored, "stored", 50_000, "stored runs for the last line; 0 leaves it out")
	fs.IntVar(&s.probes, "probes", 100, "single triggers for each latency")
	fs.DurationVar(&s.idle, "idle", 10*time.Second, "how long an idle fleet is watched")
	fs.BoolVar(&s.day, "day", true, "simulate a day of an autoscaled fleet as well")
	fs.BoolVar(&s.own, "own", false, "give each agent its own pool of database connections (Postgres; up to 250 agents)")
	fs.Uint64Var(&s.seed, "seed", 1, "of the simulation")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	for _, d := range strings.Split(*on, ",") {
		if d != "" && d != "postgres" && d != "sqlite" {
			return nil, fmt.Errorf("-on knows postgres and sqlite, not %q", d)
		}
		if d != "" {
			s.on = append(s.on, d)
		}
	}
	for _, a := range strings.Split(*agents, ",") {
		n, err := strconv.Atoi(a)
		if err != nil || n < 1 || len(s.agents) > 0 && n <= s.agents[len(s.agents)-1] {
			return nil, fmt.Errorf("-agents takes ascending numbers like 10,100,1000, not %q", *agents)
		}
		s.agents = append(s.agents, n)
	}
	if s.runs < 1 || s.probes < 1 || s.stored < 0 {
		return nil, fmt.Errorf("-runs and -probes are at least 1, -stored is 0 or more")
	}
	return s, nil
}

func (s *settings) measure(ctx context.Context) error {
	for _, database := range s.on {
		if err := s.database(ctx, database); err != nil {
			return fmt.Errorf("%s: %w", database, err)
		}
	}
	if s.day {
		return s.days(os.Stdout)
	}
	return nil
}

// database measures fleets of each size on a fresh database, then once more
// with many stored runs.
func (s *settings) database(ctx context.Context, kind string) (err error) {
	w, err := newWorld(ctx, kind)
	if err != nil {
		return err
	}
	w.own = s.own && kind == "postgres"
	defer func() { w.close() }()
	t := newTable(os.Stdout, kind)
	defer t.flush()
	for i, n := range s.agents {
		if err := s.fleet(ctx, w, t, n, i == len(s.agents)-1); err != nil {
			return err
		}
	}
	return nil
}

// fleet measures one size: idle, the way of single runs, and at last the drain of a long queue.
func (s *settings) fleet(ctx context.Context, w *world, t *table, n int, last bool) error {
	f, err := w.start(ctx, n)
	if err != nil {
		return err
	}
	defer f.stop()
	idle, err := f.idle(ctx, s.idle)
	if err != nil {
		return err
	}
	t.row("idle", n, w.stored, idle, nil)
	if err := s.single(ctx, f, t, idle); err != nil {
		return err
	}
	if !last {
		return nil
	}
	drained, err := f.drain(ctx, s.runs)
	if err != nil {
		return err
	}
	t.row("drain", n, w.stored, drained, nil)
	if s.stored == 0 {
		return nil
	}
	if err := w.store(ctx, s.stored); err != nil {
		return err
	}
	if err := s.single(ctx, f, t, idle); err != nil {
		return err
	}
	if drained, err = f.drain(ctx, s.runs); err != nil {
		return err
	}
	t.row("drain", n, w.stored, drained, nil)
	return nil
}

// single measures runs that come one at a time, without what the fleet costs meanwhile anyway.
func (s *settings) single(ctx context.Context, f *fleet, t *table, idle *cost) error {
	var claims []time.Duration
	c, err := f.during(ctx, func() (_ int, err error) {
		claims, err = f.probe(ctx, s.probes)
		return s.probes, err
	})
	if err != nil {
		return err
	}
	t.row("single", f.n, f.stored, c.without(idle), claims)
	return nil
}
