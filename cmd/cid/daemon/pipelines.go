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
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"ci/backend"
	"ci/backend/trace"
	"ci/cmd/ci-agent/machine"
	"ci/cmd/setting"
)

// pipelinesTokenVariable may hold the token instead of a file. It is no flag:
// what stands in a command line is there for everyone on the machine to read.
const pipelinesTokenVariable = "CID_PIPELINES_TOKEN"

// pipelineOptions are the settings of `cid pipelines`. Those that it shares
// with cid are in options.
type pipelineOptions struct {
	options
	token     string
	tokenFile string
}

const pipelinesHelp = `Serve pipelines and work on their runs, as a process of its own that has an URL and a token of the API and nothing else:

  ci token create pipelines --role trigger > pipelines.token
  cid pipelines --url https://ci.example.com --token-file pipelines.token

A cid does the same under /pipelines by itself. This is for those who want it apart: elsewhere, with a database of its own, or for pipelines that trigger with the rights of another token. Clients reach it
with CI_PIPELINES_URL.

Several of them share one Postgres; SQLite is for one.`

func newPipelines(code *int, stderr io.Writer) *cobra.Command {
	var o pipelineOptions
	loader := setting.Loader{Prefix: "CID_PIPELINES", Getenv: os.LookupEnv}
	cmd := &cobra.Command{
		Use: "pipelines", Short: "Serve pipelines as a process of its own", Long: pipelinesHelp,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(loader.Load(cmd.Flags()), o.check()); err != nil {
				return err
			}
			err := o.run(cmd.Context(), stderr)
			if err != nil {
				*code = 1
			}
			return err
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&o.url, "url", "http://127.0.0.1:8080", "where the API is")
	fs.StringVar(&o.tokenFile, "token-file", "", "file with a token of role trigger, or more, that is not limited to jobs")
	fs.StringVar(&o.data, "data", filepath.Join(stateDir(), "pipelines"), "folder for the database when it has no URL of its own; made if missing")
	fs.StringVar(&o.database, "database", "", "database: sqlite:PATH or postgres://… (default: SQLite in the data folder)")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:8081", "HOST:PORT to serve on")
	fs.StringVar(&o.tlsCert, "tls-cert", "", "certificate chain (PEM) to serve HTTPS with; needs --tls-key")
	fs.StringVar(&o.tlsKey, "tls-key", "", "private key (PEM) of --tls-cert")
	fs.BoolVar(&o.plainHTTP, "plain-http", false, "serve HTTP without TLS on an address that is not loopback, for example behind a load balancer")
	fs.StringVar(&o.traces, "traces", "", machine.TracesHelp)
	fs.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&o.logFormat, "log-format", "text", "text or json")
	fs.StringVar(&o.config, setting.FileFlag, "", "YAML file with settings, each under its flag's name")
	loader.Describe(fs)
	return cmd
}

// check refuses what can't work, and reads the token.
func (o *pipelineOptions) check() error {
	if err := errors.Join(trace.CheckEndpoint(o.traces), o.checkListen()); err != nil {
		return err
	}
	o.token = os.Getenv(pipelinesTokenVariable)
	switch {
	case o.token != "" && o.tokenFile != "":
		return fmt.Errorf("both --token-file and $%s are given; one of them will do", pipelinesTokenVariable)
	case o.token == "" && o.tokenFile == "":
		return fmt.Errorf("--token-file is required: a file with a token that may trigger runs; `ci token create NAME --role trigger` makes one")
	case o.tokenFile != "":
		text, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return fmt.Errorf("--token-file can't be read: %w", err)
		}
		o.token = strings.TrimSpace(string(text))
	}
	return nil
}

func (o *pipelineOptions) run(ctx context.Context, stderr io.Writer) error {
	if ctx == nil {
		ctx = context.Background() // cobra has none when it was started without
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log, err := machine.Logger(stderr, o.logLevel, o.logFormat)
	if err != nil {
		return err
	}
	if o.database == "" {
		if err := os.MkdirAll(o.data, 0o700); err != nil {
			return fmt.Errorf("the data folder can't be made: %w; --data chooses another", err)
		}
		o.database = "sqlite:" + filepath.Join(o.data, "pipelines.db")
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("can't listen on %s: %w; --listen chooses another address", o.listen, err)
	}
	defer listener.Close()
	traces, err := machine.OpenTraces(ctx, o.traces, "ci-pipelines", log, nil)
	if err != nil {
		return err
	}
	p, err := backend.OpenPipelines(ctx, backend.PipelinesConfig{Database: o.database, URL: o.url, Token: func() string { return o.token }, Log: log, Traces: traces, Stop: ctx.Done()})
	if err != nil {
		return errors.Join(err, traces.Close())
	}
	log.Info("pipelines are ready", "listen", listener.Addr(), "api", o.url, "version", machine.Version)
	return errors.Join(o.serve(ctx, p, listener, log, traces), p.Close(), traces.Close())
}

// serve answers and works until ctx ends.
func (o *pipelineOptions) serve(ctx context.Context, p *backend.Pipelines, l net.Listener, log *slog.Logger, traces *trace.Tracer) error {
	g, ctx := errgroup.WithContext(ctx)
	mux := http.NewServeMux()
	mux.Handle("/", traces.Handler(p.Handler()))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := p.Check(r.Context()); err != nil {
			http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	g.Go(func() error { return o.listenAndServe(server, l) })
	g.Go(func() error { return p.Run(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		shutDown(ctx, server)
		return nil
	})
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
