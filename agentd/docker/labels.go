package docker

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/filters"
)

// The labels of every object.
const (
	labelAgent = "ci.agent" // the agent's id
	labelRun   = "ci.run"   // the run's id; objects that runs share have none
	labelJob   = "ci.job"
	labelRole  = "ci.role" // what it is for, for people
)

// labels are those of an object that runs share.
func (d *Driver) labels(role string) map[string]string {
	return map[string]string{labelAgent: d.cfg.Agent, labelRole: role}
}

// runLabels are those of an object of one run.
func (d *Driver) runLabels(role string, run int64, job string) map[string]string {
	l := d.labels(role)
	l[labelRun], l[labelJob] = strconv.FormatInt(run, 10), job
	return l
}

// ours filters for this agent's objects.
func (d *Driver) ours() filters.Args {
	return filters.NewArgs(filters.Arg("label", labelAgent+"="+d.cfg.Agent))
}

// name makes a name for a new object and registers it. Agents share engines,
// and run ids may repeat across databases, so a name tells both and is random besides.
func (d *Driver) name(role string) string {
	sum := sha256.Sum256([]byte(d.cfg.Agent))
	agent := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, d.cfg.Agent)
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	name := fmt.Sprintf("ci-%.32s-%s-%s-%s", agent, hex.EncodeToString(sum[:3]), role, hex.EncodeToString(salt[:]))
	d.names.add(name)
	return name
}

// names are those of the objects that this driver has made, or is just
// making, and has not yet removed.
type names struct {
	mu  sync.Mutex
	set map[string]bool
}

func (n *names) add(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.set == nil {
		n.set = map[string]bool{}
	}
	n.set[name] = true
}

func (n *names) drop(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.set, name)
}

func (n *names) has(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.set[name]
}
