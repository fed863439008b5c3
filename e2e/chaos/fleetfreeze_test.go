package chaos

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"ci/e2e/rig"
)

const (
	// outOfLease is longer than any lease lives.
	outOfLease = fleetLease + fleetLease/2
	// within is how long all agents at once may be kept from renewing. They do
	// it every third of a lease, try again at once where that fails, and end
	// their runs at three quarters: a twelfth and some load are left.
	within = fleetLease / 6
)

// killBox kills the third agent with its engine and all that runs there.
func (f *fleet) killBox() error {
	if err := f.box.Kill(f.ctx); err != nil {
		return err
	}
	f.now()
	if err := f.machines[inBox].Kill(); err != nil { // the client that had started it
		return err
	}
	pause(time.Second)
	return f.machines[inBox].start()
}

// stopEngine ends the third agent's engine under its runs. Another one is
// started, and the agent, which has not ended, takes runs again.
func (f *fleet) stopEngine() error {
	if err := f.box.StopEngine(f.ctx); err != nil {
		return err
	}
	f.now()
	for _, r := range f.hurt.held {
		f.await(r)
	}
	m := f.machines[inBox]
	if _, err := f.hold("the next engine", m.id); err != nil {
		return fmt.Errorf("with the next engine: %w", err)
	}
	f.hurt.over = time.Now()
	if !m.Alive() {
		return errors.New("the agent has ended")
	}
	return nil
}

func (f *fleet) killS3() error {
	f.objects.Kill()
	pause(fleetLease / 2)
	return f.objects.Again(f.ctx)
}

func (f *fleet) freezeS3() error {
	if err := f.objects.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pause(fleetLease / 2)
	return f.objects.Signal(syscall.SIGCONT)
}

func (f *fleet) freezePostgres() error {
	f.postgres.Freeze(f.t)
	pause(within)
	f.postgres.Thaw(f.t)
	return nil
}

// freezeNATS stops one node of three. Its clients find another one.
func (f *fleet) freezeNATS() error { return frozen(f.nats.Nodes[f.random.IntN(3)], outOfLease) }

// freezeCid stops a cid for longer than any lease of its own; the balancer has turned to the other one.
func (f *fleet) freezeCid(i int) error {
	f.point(1 - i)
	return frozen(f.cids[i].Process, outOfLease)
}

func frozen(p *rig.Process, d time.Duration) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pause(d)
	return p.Signal(syscall.SIGCONT)
}

// partitionCid lets nothing pass between a cid and the database.
func (f *fleet) partitionCid() error {
	i := f.random.IntN(2)
	f.point(1 - i)
	f.cidDBs[i].Hang()
	pause(outOfLease)
	f.cidDBs[i].Flow()
	return nil
}

// partitionNATS cuts the first agent off from all nodes: what it has goes on.
func (f *fleet) partitionNATS() error { return f.apart(f.agentNATS...) }

// partitionS3 cuts the first agent off from the objects: what it has to store waits.
func (f *fleet) partitionS3() error { return f.apart(f.agentS3) }

// apart drops what passes between the first agent and some servers for longer than its lease.
func (f *fleet) apart(ways ...*rig.Proxy) error {
	var errs []error
	for _, way := range ways {
		errs = append(errs, f.net.Cut(f.ctx, port(f.t, way.Addr)))
	}
	pause(outOfLease)
	for _, way := range ways {
		errs = append(errs, f.net.Mend(f.ctx, port(f.t, way.Addr)))
	}
	return errors.Join(errs...)
}
