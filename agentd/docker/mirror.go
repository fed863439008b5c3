package docker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"ci/agentd/runner"
)

const (
	// DefaultMirrorBudget is how many bytes all of an agent's mirrors may have together.
	DefaultMirrorBudget = 10 << 30
	// mirrorShare is which part of the budget a repository's fetch must have to
	// be worth a mirror: 64 MiB of the default.
	mirrorShare = 160
	// mirrorsKnown is how many repositories are remembered as small or large.
	mirrorsKnown = 10_000
)

// mirrors are what an agent keeps of large repositories, so that a checkout
// fetches only what is new: a volume each, which no job ever mounts. It is for
// one address and one key, so that nobody reads what another's key has opened.
// They end with the agent.
type mirrors struct {
	d            *Driver
	from, budget int64

	mu  sync.Mutex
	all map[string]*mirror
}

func newMirrors(d *Driver) *mirrors {
	budget := cmp.Or(d.cfg.MirrorBudget, DefaultMirrorBudget)
	return &mirrors{d: d, from: cmp.Or(d.cfg.mirrorFrom, budget/mirrorShare), budget: budget, all: map[string]*mirror{}}
}

type mirror struct {
	volume string // "" until one is made
	size   int64  // of the fetch at first, then of the volume
	users  int
	used   time.Time
}

// mirrorKey tells repositories apart, and who may read them. A mirror with all
// of the history is apart too: a fetch of a few commits would cut it.
func mirrorKey(o runner.Order) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %t", o.Checkout.URL, o.Checkout.Depth == 0)
	if o.HTTP != nil { // its password is another each hour, and opens the same
		fmt.Fprintf(h, " %q", o.HTTP.Username)
	}
	if o.SSH != nil {
		fmt.Fprintf(h, " %q %q %q", o.SSH.Name, sha256.Sum256(o.SSH.PrivateKey), o.SSH.Hosts)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// take returns the volume of a repository's mirror; "" when it is not known to
// be large. release follows, whatever it returned.
func (m *mirrors) take(ctx context.Context, key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.all[key]
	if r == nil {
		if m.budget < 0 || len(m.all) >= mirrorsKnown {
			return ""
		}
		r = &mirror{}
		m.all[key] = r
	}
	r.users++
	r.used = time.Now()
	if r.volume == "" && r.size >= m.from {
		volume := m.d.name("mirror-" + key)
		if err := m.d.makeVolume(ctx, volume, m.d.labels("mirror")); err != nil {
			m.d.names.drop(volume)
			m.d.log.Warn("a repository gets no mirror", "err", err)
			return ""
		}
		r.volume = volume
	}
	return r.volume
}

// release ends a use and learns how large the repository, or its mirror, is; 0 says nothing.
func (m *mirrors) release(ctx context.Context, key string, size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.all[key]
	if r == nil {
		return
	}
	r.users--
	if size > 0 {
		r.size = min(size, m.budget+1) // it comes out of a container
	}
	m.shrink(ctx)
}

// shrink removes mirrors that nobody uses, those unused for the longest time
// first, until all are within the budget. m.mu is held.
func (m *mirrors) shrink(ctx context.Context) {
	for {
		var total int64
		oldest := ""
		for key, r := range m.all {
			if r.volume == "" {
				continue
			}
			total += r.size
			if r.users == 0 && (oldest == "" || r.used.Before(m.all[oldest].used)) {
				oldest = key
			}
		}
		if total <= m.budget || oldest == "" {
			return
		}
		if err := m.d.removeVolume(ctx, m.all[oldest].volume); err != nil {
			m.d.log.Debug("a mirror is not removed yet", "err", err)
			return // its last checkout's container is about to go; the next release tries again
		}
		delete(m.all, oldest)
	}
}

// close removes all of them.
func (m *mirrors) close(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var last error
	for key, r := range m.all {
		if r.volume != "" {
			if err := m.d.removeVolume(ctx, r.volume); err != nil {
				m.d.names.drop(r.volume) // nobody's any more: the sweep removes it
				last = err
			}
		}
		delete(m.all, key)
	}
	return last
}
