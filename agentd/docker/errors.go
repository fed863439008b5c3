package docker

import (
	"context"
	"errors"
	"os"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"ci/pkg/ci"
)

// Time limits of calls to the engine. Making things takes long when the
// machine is busy; asking does not.
const (
	askTime  = 15 * time.Second
	makeTime = 90 * time.Second
	// closeTime is for all that Close does.
	closeTime = 50 * time.Second
	// graceTime is for what the engine was about to make when Open was given up,
	// and as much again for taking away what it made.
	graceTime = 10 * time.Second
)

// asking bounds a call that changes nothing.
func asking(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, askTime)
}

// making bounds a call that makes or removes something. It is not cut short
// with ctx: the engine would go on by itself, and leave behind what nobody knows of.
// Only the last word of ctx is the end of it.
func making(ctx context.Context) (context.Context, context.CancelFunc) {
	if last, ok := ctx.Value(lastWord{}).(context.Context); ok {
		return context.WithTimeout(context.WithValue(last, lastWord{}, last), makeTime)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), makeTime)
}

// lastWord is the key of a context whose end cuts everything short.
type lastWord struct{}

// within bounds all that is done with ctx, making too: for the agent's end,
// which an engine that hangs must not hold up. The sweep of the next start takes
// what is left.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	return context.WithValue(ctx, lastWord{}, ctx), cancel
}

// grace gives what is being made when ctx ends a last while, and says so.
func (d *Driver) grace(ctx context.Context) (context.Context, context.CancelFunc) {
	last, cut := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if pause(last, time.Second) == nil {
			d.log.Info("the agent's start is given up; what the engine was asked for is waited for, and removed", "agent", d.cfg.Agent, "at_most", d.cfg.grace)
			_ = pause(last, d.cfg.grace)
		}
		cut()
	})
	return context.WithValue(ctx, lastWord{}, last), func() { stop(); cut() }
}

// explain puts an error of the engine into a sentence that begins with what.
// It returns nil for nil, and the cause of a cancelled context as it is.
func (d *Driver) explain(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, os.ErrPermission):
		return ci.Errorf(ci.CodeUnavailable, "the agent may not use Docker at %s: %w; add its user to the group docker, or start it as root", d.api.DaemonHost(), err)
	case errors.Is(err, context.DeadlineExceeded):
		return ci.Errorf(ci.CodeUnavailable, "%s: Docker at %s does not answer in time: %w", what, d.api.DaemonHost(), err)
	case client.IsErrConnectionFailed(err):
		return ci.Errorf(ci.CodeUnavailable, "Docker does not answer at %s: %w; start it, or give the agent another address", d.api.DaemonHost(), err)
	case cerrdefs.IsInvalidArgument(err):
		return ci.Errorf(ci.CodeInvalid, "%s: %w", what, err)
	}
	return ci.Errorf(ci.CodeUnavailable, "%s: %w", what, err)
}

func notFound(err error) bool { return cerrdefs.IsNotFound(err) }
