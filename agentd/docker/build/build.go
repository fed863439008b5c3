package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"

	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// Engine opens a connection to a path of the engine's API that is upgraded to
// another protocol, as docker's DialHijack does.
type Engine func(ctx context.Context, path, protocol string, header map[string][]string) (net.Conn, error)

// Output says what becomes of a build.
type Output struct {
	// Tag is the image's reference, Labels what it is labelled with.
	Tag    string
	Labels map[string]string
	// Caches names the cache mounts that builds share. Who does not know the
	// name has no part in them.
	Caches string
	// Toolbox keeps RUN steps within its limits. On engines that can, they have
	// its memory as a limit of the kernel's too, and CPUs (cores).
	Toolbox Toolbox
	CPUs    float64
}

// Run has the engine carry out the plan. files is the far end of a context's
// stream, which Run closes. What the steps print goes to console, as docker
// build prints it. When ctx ends the engine stops.
func (p *Plan) Run(ctx context.Context, engine Engine, files net.Conn, out Output, console io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := session.NewSession(ctx, "") // only for its id: the container at the end of files serves it
	if err != nil {
		return ci.Errorf(ci.CodeInternal, "a build session can't be made: %w", err)
	}
	var relay sync.WaitGroup
	defer relay.Wait()
	hangUp, err := connect(ctx, engine, files, s.ID(), &relay)
	if err != nil {
		return err
	}
	defer hangUp()
	c, err := client.New(ctx, "", client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return engine(ctx, "/grpc", "h2c", nil)
	}))
	if err != nil {
		return ci.Errorf(ci.CodeUnavailable, "the engine's builder can't be reached: %w", err)
	}
	defer c.Close()
	w := newWatch(console)
	_, err = c.Build(ctx, p.options(s, out), "", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		return builder.Build(ctx, &guarded{c, p, out.Toolbox})
	}, w.statuses())
	failed := w.wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && failed != "":
		return ci.Errorf(ci.CodeInvalid, "%s can't be built: %s", p.file.Path, failed)
	case err != nil:
		return explain(p.file, err)
	}
	return nil
}

func (p *Plan) options(s *session.Session, out Output) client.SolveOpt {
	attrs := map[string]string{
		"filename": pipe.DockerfileName,
		"cmdline":  "builtin", // whatever "# syntax" says: it is read here
		"target":   p.file.Target,
		// What the plan resolved is with the engine.
		"image-resolve-mode":                "local",
		"build-arg:BUILDKIT_CACHE_MOUNT_NS": out.Caches,
	}
	for name, value := range p.args() {
		attrs["build-arg:"+name] = value
	}
	attrs["memory"] = strconv.FormatInt(out.Toolbox.Limits.Memory, 10)
	attrs["memswap"] = attrs["memory"]
	if out.CPUs > 0 {
		attrs["cpuperiod"] = strconv.Itoa(cpuPeriod)
		attrs["cpuquota"] = strconv.Itoa(int(out.CPUs * cpuPeriod))
	}
	for name, value := range out.Labels {
		attrs["label:"+name] = value
	}
	return client.SolveOpt{
		// The engine's own exporter: the image is there when it ends.
		Exports:               []client.ExportEntry{{Type: "moby", Attrs: map[string]string{"name": out.Tag}}},
		Frontend:              "dockerfile.v0",
		FrontendAttrs:         attrs,
		SharedSession:         s,
		SessionPreInitialized: true,
	}
}

// cpuPeriod is the kernel's usual one, in microseconds.
const cpuPeriod = 100_000

// The headers by which an engine knows a session (moby/buildkit, session/session.go).
const (
	sessionID     = "X-Docker-Expose-Session-Uuid"
	sessionShare  = "X-Docker-Expose-Session-Sharedkey"
	sessionMethod = "X-Docker-Expose-Session-Grpc-Method"
)

// connect joins the engine's end of a session with files.
func connect(ctx context.Context, engine Engine, files net.Conn, id string, relay *sync.WaitGroup) (hangUp func(), err error) {
	far, err := engine(ctx, "/session", "h2c", map[string][]string{
		// The engine compares by time and size what it has under the same name,
		// so no build gets the files of another.
		sessionID: {id}, sessionShare: {id},
		sessionMethod: {"/moby.filesync.v1.FileSync/DiffCopy", "/grpc.health.v1.Health/Check"},
	})
	if err != nil {
		_ = files.Close()
		return nil, ci.Errorf(ci.CodeUnavailable, "the engine takes no build session: %w; it has to be a Docker engine of 19.03 or later with BuildKit", err)
	}
	var once sync.Once
	hangUp = func() {
		once.Do(func() {
			_ = far.Close()
			_ = files.Close()
		})
	}
	for _, way := range [][2]net.Conn{{far, files}, {files, far}} {
		relay.Go(func() {
			defer hangUp()
			_, _ = io.Copy(way[0], way[1])
		})
	}
	return hangUp, nil
}

// explain is for errors that belong to no step.
func explain(f Dockerfile, err error) error {
	var e *ci.Error
	if errors.As(err, &e) {
		return e
	}
	text := plainly(err.Error())
	for _, lead := range []string{"failed to run Build function: ", "failed to solve: ", "rpc error: code = Unknown desc = "} {
		text = strings.TrimPrefix(text, lead)
	}
	if strings.Contains(text, "no active session") || strings.Contains(text, "Unavailable") {
		return ci.Errorf(ci.CodeUnavailable, "%s can't be built: the connection to the engine's builder was lost: %s", f.Path, text)
	}
	return f.fault(fmt.Errorf("%s", text))
}

// plainly leaves out of a text what was put before a step's command.
func plainly(text string) string { return strings.ReplaceAll(text, pipe.StepBinary+" step ", "") }
