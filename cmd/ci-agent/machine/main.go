package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ci/backend"
	"ci/backend/engine"
	"ci/backend/queue/nats"
	"ci/backend/store"
	"ci/cmd/setting"
)

// settings are ci-agent's own, beside the agent's.
type settings struct {
	Options
	data, database, queue, blobs string
	url                          string
	lease                        time.Duration
	secrets                      Secrets
	logLevel, logFormat, config  string
}

func (s *settings) flags(fs *pflag.FlagSet) {
	fs.StringVar(&s.data, "data", filepath.Join(os.TempDir(), "ci-agent"), "folder for the agent's name and for results on their way")
	fs.StringVar(&s.database, "database", "", "the cids' database: postgres://…, or sqlite:PATH on the same machine (required)")
	fs.StringVar(&s.queue, "queue", "", "the cids' message queue: nats://HOST:PORT (required)")
	fs.StringVar(&s.blobs, "blobs", "", "the cids' objects: s3://BUCKET/PREFIX?endpoint=HOST:PORT, or file:DIR on a shared disk (required)")
	fs.StringVar(&s.url, "url", "http://127.0.0.1:8080", "where people reach the API, for CI_RUN_URL; scripts with ci: true call it through this agent")
	fs.DurationVar(&s.lease, "lease", time.Minute, "the cids' --lease")
	fs.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&s.logFormat, "log-format", "text", "text or json")
	fs.StringVar(&s.config, setting.FileFlag, "", "YAML file with settings, each under its flag's name")
	s.secrets.Flags(fs, "none; runs that need secrets end as error")
	s.Flags(fs, "", 0.85)
}

func (s *settings) check() error {
	for name, v := range map[string]string{"database": s.database, "queue": s.queue, "blobs": s.blobs} {
		if v == "" {
			return fmt.Errorf("--%s is required: give the same as to cid", name)
		}
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
	loader := setting.Loader{Prefix: "CI_AGENT", Getenv: os.LookupEnv}
	cmd := &cobra.Command{
		Use:   "ci-agent",
		Short: "ci-agent takes runs from the queue and carries them out in containers",
		Long: `ci-agent is a machine that carries runs out. It pulls work from the queue while
its CPU and its quota allow, runs each run in containers of its own, and writes
the run's end to the database itself. It needs Docker, and the addresses of the
database, the queue and the objects that the cids use.

Every setting is a flag, an environment variable and a key of the file that
--config names, in this order of precedence.
SIGTERM drains it: nothing new is taken, what runs is finished. A second signal
aborts what is left.`,
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
	db, err := store.Open(ctx, s.database, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	q, err := nats.Open(nats.Config{URL: s.queue, Log: log})
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
	parts := engine.Config{Store: db, Queue: q, Bus: q.Bus(), Blobs: blobs, Log: log, URL: s.url, Lease: s.lease}
	defer func() { err = errors.Join(err, secrets.Close()) }()
	secrets.Give(&parts)
	e, err := engine.New(parts)
	if err != nil {
		return err
	}
	api, err := proxy(s.url, log)
	if err != nil {
		return err
	}
	agent, err := New(s.Options, Parts{Dir: s.data, Uplink: e, Queue: q, Bus: q.Bus(), Store: db, Lease: s.lease, Reborn: e.Disown, API: api, Log: log})
	if err != nil {
		return err
	}
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
