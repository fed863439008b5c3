package docker

import (
	"context"

	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// slack is how much fuller the engine's disk may get during a build beside what
// a run may write: nobody knows whose it is.
const slack = 10 << 30

// withinDisk returns a context for a build that ends when the engine's disk is
// nearly full, or has got fuller by much more than a run may write. What other
// runs of this agent write meanwhile does not count, as far as it is known. RUN
// steps are measured by themselves; this is for what the builder writes, such
// as the layers of COPY, which no process of a step does.
func (b *box) withinDisk(ctx context.Context) (context.Context, context.CancelFunc, error) {
	session, err := b.contextSession(ctx)
	if err != nil {
		return nil, nil, err
	}
	stream, err := session.OpenStream()
	if err != nil {
		return nil, nil, b.noContext(err)
	}
	watch := pipe.Watch{Step: max(b.d.cfg.Disk/64, 1<<20), Floor: b.d.cfg.diskFloor}
	if err := pipe.WriteFrame(stream, pipe.BuildContext{Watch: &watch}, pipe.MaxUp); err != nil {
		_ = stream.Close()
		return nil, nil, b.noContext(err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		begin, others := int64(-1), b.d.meters.taken()
		for {
			var u pipe.Used
			if err := pipe.ReadFrame(stream, &u, pipe.MaxUp); err != nil {
				return // the build ends with its context's container anyway
			}
			if begin < 0 {
				begin = u.Free
			}
			if err := b.buildDisk(begin-u.Free-max(0, b.d.meters.taken()-others), u.Free); err != nil {
				cancel(err)
				return
			}
		}
	}()
	return ctx, func() {
		_ = stream.Close()
		<-done
		cancel(nil)
	}, nil
}

// buildDisk says why a build may not go on that has taken so much of a disk
// with so much left.
func (b *box) buildDisk(taken, free int64) error {
	limit := b.d.cfg.Disk
	switch {
	case limit >= 0 && taken > limit+b.d.cfg.slack:
		return ci.Errorf(ci.CodeTooLarge, "the build was ended because the engine's disk got fuller by %s while it went on, and a run may write %s; copy less, or have the agent's setting disk raised", ci.Bytes(taken), ci.Bytes(limit))
	case free < b.d.cfg.diskFloor:
		return ci.Errorf(ci.CodeUnavailable, "the build was ended because the engine's disk was nearly full, with %s left; trigger the run again when there is room", ci.Bytes(free))
	}
	return nil
}
