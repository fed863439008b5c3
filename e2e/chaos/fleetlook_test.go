package chaos

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"ci/e2e/rig"
)

const (
	// sampled is of how many runs of a fault it is looked at what is left of them.
	sampled = 8
	// cleared is when nothing of an ended run is in Docker any more: ten seconds
	// (I6), and some for a machine on which all other tests run.
	cleared = 45 * time.Second
	// inBox is the machine that is an image of its own.
	inBox = 2
	// mostMemory is more than any process of a fleet needs that does not grow.
	mostMemory = 384 << 20
)

// gone waits until nothing of a run that its script ended is in Docker. What an
// agent had when it was killed goes when it is back, which close looks at.
func (f *fleet) gone(fault fleetFault, run rig.Run) {
	f.t.Helper()
	if run.Outcome != "succeeded" {
		return
	}
	err := rig.Poll(f.ctx, cleared, func() error {
		left, err := f.leftOf(run)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("left in Docker: %v", left)
		}
		return err
	})
	if err != nil {
		f.t.Errorf("%s: run %d of %s, %s after its end: %v", fault.name, run.ID, run.Agent, time.Since(run.Times.Done), err)
	}
}

// leftOf names what the engine has of a run.
func (f *fleet) leftOf(run rig.Run) ([]string, error) {
	if run.Agent == f.machines[inBox].id {
		return f.box.Of(f.ctx, run.ID)
	}
	return f.docker.Objects(f.ctx, "ci.agent="+run.Agent, fmt.Sprintf("ci.run=%d", run.ID))
}

var resident = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// memory is what the cids and then the agents have of the machine's, in MiB: no
// fault makes them grow without end (I12).
func (f *fleet) memory() (all []int) {
	f.t.Helper()
	for _, p := range []*rig.Process{f.cids[0].Process, f.cids[1].Process, f.machines[0].Process, f.machines[1].Process} {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
		if err != nil {
			f.t.Errorf("%d has ended: %v", p.Pid(), err)
		}
		all = append(all, f.resident(string(status)))
	}
	status, err := f.box.Status(f.ctx)
	if err != nil {
		f.t.Errorf("the agent in its own image: %v", err)
	}
	return append(all, f.resident(status))
}

func (f *fleet) resident(status string) (most int) {
	for _, m := range resident.FindAllStringSubmatch(status, -1) {
		kib, _ := strconv.Atoi(m[1])
		most = max(most, kib>>10)
	}
	if most == 0 || most > mostMemory>>20 {
		f.t.Errorf("a process has %d MiB of memory; at most %d are right: %s", most, mostMemory>>20, strings.Join(strings.Fields(status), " "))
	}
	return most
}
