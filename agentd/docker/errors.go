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
)

// asking bounds a call that changes nothing.
func asking(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, askTime)
}

// making bounds a call that makes or removes something. It is not cut short
// with ctx: the engine would go on by itself, and leave behind what nobody knows of.
func making(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), makeTime)
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
