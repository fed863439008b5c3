package chaos

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
)

// harm is what a fault may do to runs. No fault may do more.
type harm int

const (
	harmless harm = iota
	loses         // they are lost with the victim, who is killed, frozen or cut off while it has some
	breaks        // the victim's engine ends under them, and they end as an error that says so
	fills         // the victim's disk is full, and they end as an error that says so
)

// fleetFault is something that happens to a fleet, and is over when happens returns.
type fleetFault struct {
	name    string
	harm    harm
	victim  int // the machine that is harmed, if one may be
	happens func(*fleet) error
}

var fleetFaults = []fleetFault{
	{"nothing", harmless, 0, func(*fleet) error { return nil }},
	{"a cid is killed", harmless, 0, func(f *fleet) error { return f.killCid(0) }},
	{"the other cid is killed", harmless, 0, func(f *fleet) error { return f.killCid(1) }},
	{"an agent is killed", loses, 0, func(f *fleet) error { return f.killAgent(0) }},
	{"an agent with a token alone is killed", loses, 1, func(f *fleet) error { return f.killAgent(1) }},
	{"an agent in its own image is killed", loses, inBox, (*fleet).killBox},
	{"an agent is frozen beyond its lease", loses, 0, (*fleet).freeze},
	{"each NATS server is killed in turn", harmless, 0, (*fleet).killNATS},
	{"the queue is wiped", harmless, 0, (*fleet).wipe},
	{"Postgres crashes", harmless, 0, func(f *fleet) error { f.postgres.Restart(f.t, true); return nil }},
	{"an agent is cut off from the database", loses, 0, (*fleet).partition},
	{"an agent's network loses packets", harmless, 0, (*fleet).lose},
	{"an agent's network is narrow", harmless, 0, (*fleet).narrow},
	{"Postgres' disk is full", harmless, 0, (*fleet).fillPostgres},
	{"an agent's disk is full", fills, 2, (*fleet).fillAgent},
	{"the way to the database is slow", harmless, 0, (*fleet).drag},
	{"the way to S3 is slow", harmless, 0, (*fleet).dragS3},
	{"S3 hangs", harmless, 0, (*fleet).hangS3},
	{"connections to S3 are cut", harmless, 0, (*fleet).cutS3},
	{"an agent is drained and comes back", harmless, 0, (*fleet).drainAgent},
	{"an agent's Docker engine hangs", harmless, 0, (*fleet).hangEngine},
	{"an agent's Docker engine ends, and another one begins", breaks, inBox, (*fleet).stopEngine},
	{"S3 is killed", harmless, 0, (*fleet).killS3},
	{"S3 is frozen", harmless, 0, (*fleet).freezeS3},
	{"Postgres is frozen", harmless, 0, (*fleet).freezePostgres},
	{"a NATS server is frozen", harmless, 0, (*fleet).freezeNATS},
	{"a cid is frozen", harmless, 0, func(f *fleet) error { return f.freezeCid(0) }},
	{"the other cid is frozen", harmless, 0, func(f *fleet) error { return f.freezeCid(1) }},
	{"a cid is cut off from the database", harmless, 0, (*fleet).partitionCid},
	{"an agent is cut off from NATS", harmless, 0, (*fleet).partitionNATS},
	{"an agent is cut off from S3", harmless, 0, (*fleet).partitionS3},
}

// fewFaults is how many are played beside all other tests: all of them take
// longer than a test should. The seed chooses, so that each has its turn;
// `make chaos` plays all.
const fewFaults = 16

// chosenFaults are those whose name matches $CHAOS_FAULTS, a regular expression,
// all if $CHAOS_RUNS says how many runs each meets, and few without either.
func chosenFaults(t *testing.T, random *rand.Rand) []fleetFault {
	t.Helper()
	wanted, err := regexp.Compile(os.Getenv("CHAOS_FAULTS"))
	require.NoError(t, err, "CHAOS_FAULTS")
	chosen := slices.DeleteFunc(slices.Clone(fleetFaults), func(f fleetFault) bool { return !wanted.MatchString(f.name) })
	require.NotEmpty(t, chosen, "no fault is called %s", wanted)
	if wanted.String() == "" && os.Getenv("CHAOS_RUNS") == "" {
		random.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
		t.Logf("%d of %d faults; CHAOS_RUNS=%d plays all", fewFaults, len(chosen), defaultFleetRuns)
		chosen = chosen[:fewFaults]
	}
	return chosen
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// pause is a fault's length.
func pause(d time.Duration) {
	over := time.NewTimer(d)
	<-over.C
}

// killCid kills a cid and starts it again; the balancer turns to the other one.
func (f *fleet) killCid(i int) error {
	f.point(1 - i)
	if err := f.cids[i].Kill(); err != nil {
		return err
	}
	pause(time.Second)
	return f.cids[i].Start(f.ctx)
}

func (f *fleet) killAgent(i int) error {
	if err := f.machines[i].Kill(); err != nil {
		return err
	}
	f.now()
	pause(time.Second)
	return f.machines[i].start()
}

// freeze stops an agent's process for longer than its lease.
func (f *fleet) freeze() error {
	// The command that puts it into its network has become the agent itself.
	if err := f.machines[0].Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	f.now()
	pause(fleetLease + fleetLease/2)
	return f.machines[0].Signal(syscall.SIGCONT)
}

func (f *fleet) killNATS() error {
	for i, p := range f.nats.Nodes {
		if err := p.Kill(); err != nil {
			return err
		}
		pause(time.Second)
		if err := f.nats.Start(i); err != nil {
			return err
		}
		if err := f.nats.Ready(f.ctx); err != nil {
			return err
		}
		pause(2 * time.Second) // it catches up with the others
	}
	return nil
}

// wipe loses all that the queue holds: every server is killed and its store emptied.
func (f *fleet) wipe() error {
	var errs []error
	for i := range f.nats.Nodes {
		errs = append(errs, f.nats.Nodes[i].Kill(), f.nats.Wipe(i))
	}
	for i := range f.nats.Nodes {
		errs = append(errs, f.nats.Start(i))
	}
	return errors.Join(append(errs, f.nats.Ready(f.ctx))...)
}

// partition drops what passes between the first agent and the database, longer than its lease.
func (f *fleet) partition() error {
	p := port(f.t, f.db.Addr)
	if err := f.net.Cut(f.ctx, p); err != nil {
		return err
	}
	f.now()
	pause(fleetLease + fleetLease/2)
	return f.net.Mend(f.ctx, p)
}

// lag holds back what a client sends.
type lag struct {
	each atomic.Int64 // nanoseconds for each piece
	size atomic.Int64 // nanoseconds for each byte
}

func (l *lag) hold(data []byte) rig.Fate {
	if d := time.Duration(l.each.Load() + l.size.Load()*int64(len(data))); d > 0 {
		pause(d)
	}
	return rig.Pass
}

// lose drops one packet in twenty of all that the first agent sends and gets.
func (f *fleet) lose() error {
	const share = 0.05
	if !f.net.Apart() { // then what is lost comes later, as TCP has it
		f.t.Log("no network of its own can be made here: what would be lost is late")
		return f.drag()
	}
	if err := f.net.Lose(f.ctx, share); err != nil {
		return err
	}
	pause(fleetLease)
	return f.net.Find(f.ctx, share)
}

// narrow lets the first agent send and get 64 kbit a second.
func (f *fleet) narrow() error {
	if f.net.Apart() {
		if err := f.net.Narrow(f.ctx, "64kbit"); err != nil {
			return err
		}
		pause(fleetLease)
		return f.net.Widen(f.ctx)
	}
	f.t.Log("no network of its own can be made here: what the agent sends to the database alone is slow")
	f.slow.size.Store(int64(time.Second / (64_000 / 8)))
	pause(fleetLease)
	f.slow.size.Store(0)
	return nil
}

// fillPostgres leaves Postgres no space for as long as a lease may bear. It may
// stop by that, and is started again by an administrator who has made some.
func (f *fleet) fillPostgres() error {
	if f.disk == nil {
		f.t.Log("nothing can be mounted here: Postgres has no disk of its own that could be filled")
		return nil
	}
	if err := f.disk.Fill(); err != nil {
		return err
	}
	if f.postgres.Try(f.ctx, "CREATE TABLE filler AS SELECT repeat(md5(n::text), 100) FROM generate_series(1, 20000) n") == nil {
		f.t.Error("Postgres had space for a large table on a full disk")
	}
	pause(2 * time.Second)
	err := f.disk.Free()
	f.postgres.Restart(f.t, true)
	return err
}

// fillAgent leaves the third agent no space until it says so, and then some.
func (f *fleet) fillAgent() error {
	if err := f.box.Fill(f.ctx); err != nil {
		return err
	}
	full := f.refuses(f.machines[2].id, "of disk are free", true)
	pause(fleetLease / 3)
	return errors.Join(full, f.box.Free(f.ctx), f.refuses(f.machines[2].id, "of disk are free", false))
}

// refuses waits until an agent says that it takes no runs for a reason, or no
// more says so.
func (f *fleet) refuses(agent, reason string, does bool) error {
	return rig.Poll(f.ctx, time.Minute, func() error {
		var all struct {
			Agents []struct {
				ID       string
				Refusals map[string]string
			}
		}
		if err := f.cids[0].Client().Call(f.ctx, http.MethodGet, "/agents", nil, &all); err != nil {
			return err
		}
		for _, a := range all.Agents {
			said := fmt.Sprint(a.Refusals)
			if a.ID == agent && strings.Contains(said, reason) == does {
				return nil
			}
		}
		return fmt.Errorf("of %d agents %s does not refuse runs, or still does: %v", len(all.Agents), agent, all.Agents)
	})
}

// drag makes each question of the first agent to the database wait for a moment.
func (f *fleet) drag() error {
	f.slow.each.Store(int64(100 * time.Millisecond))
	pause(fleetLease)
	f.slow.each.Store(0)
	return nil
}

// dragS3 makes each piece that is sent to S3 wait for a moment.
func (f *fleet) dragS3() error {
	f.slowS3.each.Store(int64(100 * time.Millisecond))
	pause(fleetLease / 2)
	f.slowS3.each.Store(0)
	return nil
}

func (f *fleet) hangS3() error {
	f.s3.Hang()
	pause(fleetLease / 2)
	f.s3.Flow()
	return nil
}

func (f *fleet) cutS3() error {
	for range 10 {
		f.s3.Cut()
		pause(200 * time.Millisecond)
	}
	return nil
}

// drainAgent ends an agent in order, and starts it again.
func (f *fleet) drainAgent() error {
	if err := f.machines[2].Stop(2 * time.Minute); err != nil {
		return err
	}
	if err := f.box.Ended(f.ctx); err != nil {
		return err
	}
	return f.machines[2].start()
}

// hangEngine freezes the third agent's engine for longer than a lease. Runs there
// wait for it, go on, and end as ever: their agent has not hung.
func (f *fleet) hangEngine() error {
	if err := f.box.Freeze(f.ctx); err != nil {
		return err
	}
	pause(fleetLease + fleetLease/2)
	return f.box.Thaw(f.ctx)
}
