package docker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"ci/agentd/runner"
	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

const (
	// DefaultDisk is what one run may write.
	DefaultDisk = 20 << 30
	// diskFloor is what has to stay free of the engine's disk. Below it, the run that has written most is ended.
	diskFloor = 512 << 20
	// unheard is how long init may say nothing of its disk. It says something every two minutes.
	unheard = 15 * time.Minute
	// worthwhile is what a run must have written to be ended for the sake of others.
	worthwhile = 64 << 20
	// endTime is how long a run that is ended for its disk may take for it.
	endTime = 20 * time.Second
)

// meter is what a run has written to the engine's disk, as far as known. An
// engine seldom has a quota: so init measures, and the agent decides.
type meter struct {
	taken atomic.Int64
	mu    sync.Mutex
	fault error // why the run is ended; the first one counts
	// abandon ends the preparation.
	abandon context.CancelCauseFunc
}

// meters are those of all runs of this driver.
type meters struct {
	mu   sync.Mutex
	all  map[*box]bool
	last time.Time // when a run was ended for the sake of others
}

// watchDisk follows init's measurements until its session ends.
func (b *box) watchDisk() error {
	limit := b.d.cfg.Disk
	if limit < 0 {
		return nil
	}
	stream, err := b.openStream(pipe.Watching)
	if err == nil {
		err = pipe.WriteFrame(stream, pipe.Watch{Step: max(limit/64, 1<<20), Floor: b.d.cfg.diskFloor}, pipe.MaxDown)
	}
	if err != nil {
		return b.lost("the container's disk can't be watched", err)
	}
	b.d.meters.add(b)
	b.beside.Go(func() {
		defer b.d.meters.drop(b)
		for {
			_ = stream.SetReadDeadline(time.Now().Add(unheard))
			var used pipe.Used
			if err := pipe.ReadFrame(stream, &used, pipe.MaxUp); err != nil {
				if !b.session.IsClosed() {
					b.condemn(ci.Errorf(ci.CodeUnavailable, "the run was ended because its use of disk could not be measured: %w", err))
				}
				return
			}
			b.judge(used)
		}
	})
	return nil
}

// judge ends the run when it has written more than it may.
func (b *box) judge(used pipe.Used) {
	total := max(0, used.Bytes) + b.sidecarsDisk()
	b.meter.taken.Store(total)
	limit := b.d.cfg.Disk
	switch {
	case used.Blind != "":
		b.condemn(ci.Errorf(ci.CodeInvalid, "the run was ended because its use of disk could not be measured: %s", sentence(used.Blind)))
	case total > limit:
		b.condemn(ci.Errorf(ci.CodeTooLarge, "the run was ended because it has written %s to disk, and a run may write %s; write less, or have the agent's setting disk raised", ci.Bytes(total), ci.Bytes(limit)))
	case used.Free < b.d.cfg.diskFloor:
		b.d.meters.relieve(used.Free, b.log)
	}
}

// sidecarsDisk is what the services of the run have written beside their
// volumes, by the engine's own count. It is 0 where it can't be had.
func (b *box) sidecarsDisk() int64 {
	if b.sidecars == nil {
		return 0
	}
	ctx, cancel := asking(context.Background())
	defer cancel()
	list, err := b.d.api.ContainerList(ctx, container.ListOptions{All: true, Size: true, Filters: filters.NewArgs(
		filters.Arg("label", labelAgent+"="+b.d.cfg.Agent), filters.Arg("label", fmt.Sprintf("%s=%d", labelRun, b.order.Run)),
	)})
	if err != nil {
		b.log.Warn("the services' use of disk can't be measured", "err", err)
		return 0
	}
	var sum int64
	for _, c := range list {
		if c.Labels[labelService] != "" {
			sum += max(0, c.SizeRw)
		}
	}
	return sum
}

// condemn ends the run: its preparation at once, or its script.
func (b *box) condemn(fault error) {
	b.meter.mu.Lock()
	first := b.meter.fault == nil
	if first {
		b.meter.fault = fault
	}
	b.meter.mu.Unlock()
	if !first {
		return
	}
	b.log.Warn("a run is ended for its use of disk", "err", fault)
	b.meter.abandon(fault)
	if err := b.Signal(runner.Kill); err != nil {
		b.log.Warn("a run that is ended for its use of disk can't be signalled", "err", err)
	}
	time.AfterFunc(endTime, func() { _ = b.session.Close() }) // should init not manage
}

// condemned is why the run was ended; nil when it was not.
func (b *box) condemned() error {
	b.meter.mu.Lock()
	defer b.meter.mu.Unlock()
	return b.meter.fault
}

func (m *meters) add(b *box) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[*box]bool{}
	}
	m.all[b] = true
}

func (m *meters) drop(b *box) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, b)
}

// taken is what all runs have written together, as far as known.
func (m *meters) taken() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var sum int64
	for b := range m.all {
		sum += b.meter.taken.Load()
	}
	return sum
}

// relieve makes room on a disk that is nearly full: the run that has written
// most is ended, and others after it if that is not enough.
func (m *meters) relieve(free int64, log *slog.Logger) {
	const pause = 10 * time.Second
	m.mu.Lock()
	var most *box
	for b := range m.all {
		if most == nil || b.meter.taken.Load() > most.meter.taken.Load() {
			most = b
		}
	}
	if time.Since(m.last) < pause || most == nil {
		m.mu.Unlock()
		return
	}
	m.last = time.Now()
	m.mu.Unlock()
	taken := most.meter.taken.Load()
	if taken < worthwhile {
		log.Warn("the engine's disk is nearly full, and no run here has written much of it; free some of it", "free", ci.Bytes(free))
		return
	}
	most.condemn(ci.Errorf(ci.CodeUnavailable, "the run was ended because the engine's disk was nearly full, with %s left, and this run had written most of it, %s; trigger it again when there is room", ci.Bytes(free), ci.Bytes(taken)))
}
