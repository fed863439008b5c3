package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ci/backend"
	"ci/backend/engine"
	"ci/backend/store"
	"ci/backend/trace"
	"ci/cmd/setting"
	"ci/gh/app"
)

// settings are ci-agent's own, beside the agent's.
type settings struct {
	Options
	data, database, queue, blobs string
	url, tokenFile, traces       string
	token                        string // of the environment
	lease                        time.Duration
	secrets                      Secrets
	logLevel, logFormat, config  string
}

func (s *settings) flags(fs *pflag.FlagSet) {
	fs.StringVar(&s.data, "data", filepath.Join(os.TempDir(), "ci-agent"), "folder for the agent's name and for results on their way")
	fs.StringVar(&s.database, "database", "", "the cids' database: postgres://…, or sqlite:PATH on the same machine")
	fs.StringVar(&s.queue, "queue", "", "the cids' message queue: nats://HOST:PORT, or amqp://USER:PASSWORD@HOST:PORT/VHOST")
	fs.StringVar(&s.blobs, "blobs", "", "the cids' objects: s3://BUCKET/PREFIX?endpoint=HOST:PORT, or file:DIR on a shared disk")
	fs.StringVar(&s.url, "url", "http://127.0.0.1:8080", "where the API is reached: by scripts with ci: true through this agent, and by the agent itself when it has a token")
	fs.StringVar(&s.tokenFile, "token-file", "", "file with a token of role agent, to work over --url alone, without --database, --queue and --blobs; read again for each call")
	fs.DurationVar(&s.lease, "lease", time.Minute, "the cids' --lease; with a token the cids tell it")
	fs.StringVar(&s.traces, "traces", "", TracesHelp)
	fs.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&s.logFormat, "log-format", "text", "text or json")
	fs.StringVar(&s.config, setting.FileFlag, "", "YAML file with settings, each under its flag's name")
	s.secrets.Flags(fs, "none; runs that need secrets end as error")
	s.Flags(fs, "", 0.85)
}

func (s *settings) check() error {
	if s.remote() {
		return s.checkRemote()
	}
	for name, v := range map[string]string{"database": s.database, "queue": s.queue, "blobs": s.blobs} {
		if v == "" {
			return fmt.Errorf("--%s is required: give the same as to cid; or only --url and --token-file, to work over the API", name)
		}
	}
	if err := trace.CheckEndpoint(s.traces); err != nil {
		return fmt.Errorf("--traces: %w", err)
	}
	return nil
}

// Main runs ci-agent and returns its exit code: 0 after a drain, 1 when
// something failed, 2 when the settings are wrong.
func Main(args []string, stdout, stderr io.Writer) int {
	code := 0
	cmd := Command(&code, stderr)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.Execute(); err != nil {
		fmt.Fprintln(stderr, "ci-agent:", Explain(err))
		if code == 0 {
			code = 2
		}
	}
	return code
}

// Command is ci-agent's command line. *code is set when running fails.
func Command(code *int, stderr io.Writer) *cobra.Command {
	var s settings
	s.token = os.Getenv(tokenVariable)
	loader := setting.Loader{Prefix: "CI_AGENT", Getenv: os.LookupEnv}
	cmd := &cobra.Command{
		Use:   "ci-agent",
		Short: "ci-agent takes runs from the queue and carries them out in containers",
		Long: `ci-agent is a machine that carries runs out. It pulls work from the queue while
its CPU and its quota allow, and runs each run in containers of its own. It
needs Docker, and one of two ways to the cids:

  ci-agent --database postgres://… --queue nats://… --blobs s3://…
      writes all that it does to the database itself; no cid has to be up
  ci-agent --url https://ci.example.com --token-file FILE
      does all of it over the API, with a token of role agent in FILE or in
      $CI_AGENT_TOKEN (ci token create NAME --role agent makes one); nothing
      else of the system is open to it

Every setting is a flag, an environment variable and a key of the file that
--config names, in this order of precedence.
SIGTERM drains it, and so does "ci-agent drain": nothing new is taken, what runs
is finished. A second signal aborts what is left, one more kills what takes long
to end.`,
		Args: cobra.NoArgs, Version: Version, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(loader.Load(cmd.Flags()), s.check(), s.secrets.Check()); err != nil {
				return err
			}
			err := s.run(cmd.Context(), stderr)
			if err != nil {
				*code = 1
			}
			return err
		},
	}
	s.flags(cmd.Flags())
	loader.Describe(cmd.Flags())
	cmd.AddCommand(newDrain(stderr))
	return cmd
}

func (s *settings) run(ctx context.Context, stderr io.Writer) (err error) {
	log, err := Logger(stderr, s.logLevel, s.logFormat)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return err
	}
	words, err := openDoor(s.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, words.close(s.data)) }()
	if s.remote() {
		return s.runRemote(ctx, words, log)
	}
	return s.runDirect(ctx, words, log)
}

// runDirect carries runs out with access to the database, the queue and the objects.
func (s *settings) runDirect(ctx context.Context, words *door, log *slog.Logger) (err error) {
	db, err := store.Open(ctx, s.database, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	q, err := backend.OpenBroker(s.queue, s.data, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	blobs, err := backend.OpenBlobs(s.blobs, s.data)
	if err != nil {
		return err
	}
	secrets, err := backend.OpenSecrets(ctx, s.secrets.Config(), db, log)
	if err != nil {
		return err
	}
	// Who records the end of a run tells of it: here that is this agent.
	traces, err := OpenTraces(ctx, s.traces, "ci-agent", log, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, traces.Close()) }()
	parts := engine.Config{Store: db, Queue: q.Queue, Bus: q.Bus(), Blobs: blobs, Log: log, URL: s.url, Lease: s.lease, Observe: traces.Done}
	defer func() { err = errors.Join(err, secrets.Close()) }()
	secrets.Give(&parts)
	if secrets.Forges != nil {
		parts.Repositories = app.New(app.Config{Forges: secrets.Forges, Log: log})
	}
	e, err := engine.New(parts)
	if err != nil {
		return err
	}
	api, err := proxy(s.url, log)
	if err != nil {
		return err
	}
	agent, err := New(s.Options, Parts{Dir: s.data, Uplink: e, Queue: q.Queue, Bus: q.Bus(), Classes: ClassesOf(db.GetConfig), Depths: db.QueueHeads, Lease: s.lease, Reborn: e.Disown, API: api, Log: log})
	if err != nil {
		return err
	}
	words.lead(agent)
	return drainOnSignal(ctx, agent)
}

// drainOnSignal runs an agent until it is drained.
func drainOnSignal(ctx context.Context, a Agent) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	for {
		select {
		case err := <-ended:
			return err
		case <-signals:
			a.Drain()
		}
	}
}
