// Package daemon is cid as a program: it reads the settings, opens everything,
// runs it in one group, and shuts down in order.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"ci/backend"
	"ci/backend/engine"
	"ci/backend/trace"
	"ci/cmd/ci-agent/machine"
	"ci/cmd/setting"
	"ci/gh"
	"ci/gh/app"
)

// Main runs cid and returns its exit code: 0 after a graceful stop, 1 when
// something failed, 2 when the settings are wrong.
func Main(args []string, stdout, stderr io.Writer) int {
	code := 0
	cmd := Command(&code, stderr)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.Execute(); err != nil {
		fmt.Fprintln(stderr, "cid:", machine.Explain(err))
		if code == 0 {
			code = 2
		}
	}
	return code
}

// Command is cid's command line. *code is set when running fails.
func Command(code *int, stderr io.Writer) *cobra.Command {
	var o options
	loader := setting.Loader{Prefix: "CID", Getenv: os.LookupEnv}
	cmd := &cobra.Command{
		Use:   "cid",
		Short: "cid serves the CI API, records runs and, where Docker answers, carries them out",
		Long: `cid is a whole CI system in one process: the REST and Connect API, the database
(SQLite), the message queue (NATS), object storage (files) and, on a machine
with Docker, an agent. It needs no configuration to start:

  cid

Then, with the token it wrote on its first start:

  export CI_URL=http://127.0.0.1:8080 CI_TOKEN=$(cat ~/.local/state/ci/admin.token)
  ci job apply hello --freestyle hello.yaml
  ci run hello --wait --logs

For many machines, give --database, --queue and --blobs, start any number of
cids behind a load balancer, and ci-agent on the machines that carry runs out.

Every setting is a flag, an environment variable and a key of the file that
--config names, in this order of precedence.
SIGTERM or Ctrl-C stops it: no new runs are taken, those in hand are finished.
A second signal aborts them, one more kills what takes long to end.`,
		Args:          cobra.NoArgs,
		Version:       machine.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(loader.Load(cmd.Flags()), o.check(), o.secrets.Check()); err != nil {
				return err
			}
			err := run(cmd.Context(), &o, stderr)
			if err != nil {
				*code = 1
			}
			return err
		},
	}
	o.flags(cmd.Flags())
	cmd.AddCommand(newSecretKey(stderr), newAdminToken(cmd.OutOrStdout()), newHealthcheck(), newPipelines(code, stderr))
	loader.Describe(cmd.Flags())
	return cmd
}

func run(ctx context.Context, o *options, stderr io.Writer) error {
	began := time.Now()
	log, err := machine.Logger(stderr, o.logLevel, o.logFormat)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("can't listen on %s: %w; is another cid running? --listen chooses another address", o.listen, err)
	}
	defer listener.Close()
	reg := newRegistry()
	traces, err := machine.OpenTraces(ctx, o.traces, "cid", log, reg)
	if err != nil {
		return err
	}
	defer func() {
		if err := traces.Close(); err != nil {
			log.Warn("closing traces", "err", err)
		}
	}()
	b, err := o.open(ctx, listener.Addr(), log, reg, traces)
	if err != nil {
		return err
	}
	defer func() {
		if err := b.Close(); err != nil {
			log.Warn("closing", "err", err)
		}
	}()
	token, made, err := adminToken(ctx, b, o.data)
	if err != nil {
		return fmt.Errorf("the admin token: %w", err)
	}
	log.Info("cid is ready", "url", o.publicURL(listener.Addr()), "data", o.data, "admin_token", token, "new_token", made,
		"version", machine.Version, "took", time.Since(began).Round(time.Millisecond))
	return o.serve(ctx, b, listener, log, signals, reg, traces)
}

// open makes the data folder and opens the backend on it.
func (o *options) open(ctx context.Context, addr net.Addr, log *slog.Logger, reg *prometheus.Registry, traces *trace.Tracer) (*backend.Backend, error) {
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return nil, fmt.Errorf("the data folder can't be made: %w; --data chooses another", err)
	}
	if o.tokenKey == "" {
		o.tokenKey = filepath.Join(o.data, "token.key")
	}
	key, err := signingKey(o.tokenKey)
	if err != nil {
		return nil, err
	}
	people, err := o.signIn.config()
	if err != nil {
		return nil, err
	}
	return backend.New(ctx, backend.Config{
		Dir: o.data, Database: o.database, Queue: o.queue, Blobs: o.blobs, Pipelines: o.pipelines, URL: o.publicURL(addr),
		GitAllow: o.gitAllow, Repositories: func(f backend.Forges) engine.Repositories { return app.New(app.Config{Forges: f, Log: log}) }, Key: key, Secrets: o.secrets.Config(), SignIn: people, Lease: o.lease, PodCosts: o.podCosts, Version: machine.Version, Log: log, Metrics: reg, Traces: traces,
	})
}

func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// startTime is how long everything that begins with a cid has begun after.
const startTime = 5 * time.Second

// serve runs all parts until a signal, then stops them in order: first the
// agent, which still needs the rest, then the API, then the loops.
func (o *options) serve(ctx context.Context, b *backend.Backend, l net.Listener, log *slog.Logger, signals <-chan os.Signal, reg *prometheus.Registry, traces *trace.Tracer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	forges, err := gh.New(gh.Config{
		Records: b.Hooks(), Outbox: b.Checks(), Runs: b.Checks(), URL: o.publicURL(l.Addr()), Log: log,
		Apps: app.New(app.Config{Forges: b.Secrets.Forges, Log: log}), Reconcile: o.reconcile, Traced: traces.Handler, Trace: traces.Of,
	})
	if err != nil {
		return err
	}
	agent, err := o.newAgent(b, log, reg)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: forges.Handler(b.Handler()), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), Protocols: protocols(),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	g.Go(func() error { return o.listenAndServe(server, l) })
	g.Go(func() error { return b.Run(ctx) })
	g.Go(func() error { return forges.Run(ctx) })
	// A start needs more memory than a cid that waits for work.
	settled := time.AfterFunc(startTime, debug.FreeOSMemory)
	defer settled.Stop()
	drained := make(chan struct{})
	g.Go(func() error {
		defer close(drained)
		return agent.Run(ctx)
	})
	g.Go(func() error {
		defer stop()
		select {
		case <-ctx.Done():
			return nil
		case s := <-signals:
			log.Info("stopping: taking no new runs, finishing those in hand; a second signal aborts them", "signal", s)
		}
		agent.Drain()
		hasten(agent, drained, signals, log)
		b.Release()
		shutDown(ctx, server)
		return nil
	})
	err = g.Wait()
	log.Info("stopped")
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// hasten waits until the agent is drained, and passes every further signal on to it.
func hasten(agent machine.Agent, drained <-chan struct{}, signals <-chan os.Signal, log *slog.Logger) {
	for {
		select {
		case <-drained:
			return
		case <-signals:
			log.Info("stopping: aborting what is left, and killing what was being aborted")
			agent.Drain()
		}
	}
}

// shutDown lets answers that are under way come to their end, for a moment.
func shutDown(ctx context.Context, server *http.Server) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // streams that followed a console to the end of the process
	}
}

func protocols() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true) // gRPC clients on loopback and behind a load balancer
	return &p
}

func (o *options) listenAndServe(s *http.Server, l net.Listener) (err error) {
	if o.tlsCert != "" {
		err = s.ServeTLS(l, o.tlsCert, o.tlsKey)
	} else {
		err = s.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// newAgent is the agent of this process, or one that does nothing.
func (o *options) newAgent(b *backend.Backend, log *slog.Logger, reg *prometheus.Registry) (machine.Agent, error) {
	if o.agent == "off" {
		return machine.Off(), nil
	}
	return machine.New(o.machine, machine.Parts{Dir: o.data, Uplink: b.Engine, Queue: b.Queue.Queue, Bus: b.Queue.Bus(), Classes: machine.ClassesOf(b.Store.GetConfig), Depths: b.Store.QueueHeads, Lease: o.lease, Reborn: b.Engine.Disown, API: b.Handler(), Log: log})
}
