package chaos

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"ci/e2e/rig"
)

// fleetFault is something that happens to a fleet, and is over when happens returns.
type fleetFault struct {
	name    string
	loses   bool // runs may be lost by it: their agent was killed, frozen or cut off
	happens func(*fleet) error
}

var fleetFaults = []fleetFault{
	{"nothing", false, func(*fleet) error { return nil }},
	{"a cid is killed", false, func(f *fleet) error { return f.killCid(0) }},
	{"the other cid is killed", false, func(f *fleet) error { return f.killCid(1) }},
	{"an agent is killed", true, func(f *fleet) error { return f.killAgent(0) }},
	{"an agent with a token alone is killed", true, func(f *fleet) error { return f.killAgent(1) }},
	{"an agent is frozen beyond its lease", true, (*fleet).freeze},
	{"each NATS server is killed in turn", false, (*fleet).killNATS},
	{"the queue is wiped", false, (*fleet).wipe},
	{"Postgres crashes", false, func(f *fleet) error { f.postgres.Restart(f.t, true); return nil }},
	{"an agent is cut off from the database", true, (*fleet).partition},
	{"the way to the database is slow", false, (*fleet).drag},
	{"the way to S3 is slow", false, (*fleet).dragS3},
	{"S3 hangs", false, (*fleet).hangS3},
	{"connections to S3 are cut", false, (*fleet).cutS3},
	{"an agent is drained and comes back", false, (*fleet).drainAgent},
	{"an agent's Docker engine hangs", false, (*fleet).hangEngine},
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
	pause(time.Second)
	return f.machines[i].start()
}

// freeze stops an agent's process for longer than its lease.
func (f *fleet) freeze() error {
	// The command that puts it into its network has become the agent itself.
	if err := f.machines[0].Signal(syscall.SIGSTOP); err != nil {
		return err
	}
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
	pause(fleetLease + fleetLease/2)
	return f.net.Mend(f.ctx, p)
}

// lag holds back what a client sends.
type lag struct{ each atomic.Int64 }

func (l *lag) hold([]byte) rig.Fate {
	if d := time.Duration(l.each.Load()); d > 0 {
		pause(d)
	}
	return rig.Pass
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
