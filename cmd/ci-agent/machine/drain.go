package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"ci/cmd/setting"
	"ci/pkg/ci"
)

// drainOptions are those of `ci-agent drain`.
type drainOptions struct {
	data   string
	reason string
	within time.Duration
	then   string
	wait   bool
	out    io.Writer
}

// drainPoll is how often `ci-agent drain --wait` asks how things stand.
const drainPoll = 300 * time.Millisecond

func newDrain(stdout io.Writer) *cobra.Command {
	o := &drainOptions{out: stdout}
	loader := setting.Loader{Prefix: "CI_AGENT", Getenv: os.LookupEnv}
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Drain the ci-agent of this machine, and end it",
		Long: `Drain the ci-agent that runs on this machine with the same --data: it takes
nothing new, finishes what it holds and ends, as after SIGTERM. It works while
the server is away. With --wait the command returns when the process has ended,
which is what a preStop hook of Kubernetes wants:

  preStop: {exec: {command: [ci-agent, drain, --wait, --deadline, 50m]}}

To empty a machine whose agent is to stay: ci agent drain NAME.`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, given := os.LookupEnv(loader.Env("data")); given && !cmd.Flags().Changed("data") {
				o.data = os.Getenv(loader.Env("data"))
			}
			return o.run(cmd.Context())
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&o.data, "data", filepath.Join(os.TempDir(), "ci-agent"), "the agent's data folder [$"+loader.Env("data")+"]")
	fs.StringVar(&o.reason, "reason", "", "why, for people")
	fs.DurationVar(&o.within, "deadline", 0, "time after which --then happens to runs that are left; default is to wait for ever")
	fs.StringVar(&o.then, "then", string(ci.DrainAbort), "what becomes of them: abort or wait")
	fs.BoolVar(&o.wait, "wait", false, "return when the agent has ended")
	return cmd
}

func (o *drainOptions) run(ctx context.Context) error {
	if o.within < 0 {
		return fmt.Errorf("--deadline %s is negative", o.within)
	}
	doc := drainDoc{Reason: o.reason, Then: o.then}
	if o.within > 0 {
		doc.Deadline = time.Now().Add(o.within)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialDoor(ctx, o.data) },
		// Each question makes its own connection: that none can be made any more is the sign of the end.
		DisableKeepAlives: true,
	}}
	state, err := ask(ctx, client, http.MethodPut, doc)
	if gone(err) {
		return fmt.Errorf("no ci-agent runs with the data folder %s: %w; --data names another", o.data, err)
	}
	for said := ""; err == nil && o.wait; state, err = ask(ctx, client, http.MethodGet, nil) {
		if now := standing(state); now != said {
			said = now
			fmt.Fprintln(o.out, now)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(drainPoll):
		}
	}
	if o.wait && gone(err) {
		fmt.Fprintln(o.out, "the agent has ended")
		return nil
	}
	return err
}

// standing says how a drain stands.
func standing(d drainDoc) string {
	if d.Drained {
		return "nothing is left; the agent is ending"
	}
	return fmt.Sprintf("%d runs are left: %s", len(d.Runs), strings.Trim(fmt.Sprint(d.Runs), "[]"))
}

// gone says that no process is there to answer.
func gone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)
}

// ask asks the agent's process; in is nil for a question alone.
func ask(ctx context.Context, c *http.Client, method string, in any) (d drainDoc, err error) {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return d, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent/drain", &body)
	if err != nil {
		return d, err
	}
	r, err := c.Do(req)
	if err != nil {
		return d, err
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return d, err
	}
	if r.StatusCode != http.StatusOK {
		return d, fmt.Errorf("the agent answers: %s", strings.TrimSpace(string(answer)))
	}
	return d, json.Unmarshal(answer, &d)
}
