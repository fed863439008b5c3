// Package cli is the command line `ci`, one file a verb. Each verb has the
// same shape: a struct of options, a constructor of its command, and run.
//
// Data goes to Out and progress to Err, so that a pipe gets data alone. On a
// terminal data is an aligned table, in a pipe lines of tab-separated columns
// that stay as they are from version to version.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Main runs one command line and returns its exit code. A first SIGINT or
// SIGTERM ends it in order, a second at once.
func Main(ctx context.Context, args []string, streams IOStreams) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	a := &app{IOStreams: streams, dial: dial}
	return a.main(ctx, args)
}

// app is what every verb has in common.
type app struct {
	IOStreams
	dial func(e endpoint, agent string, retry time.Duration) (Client, error)

	// Flags that every verb takes.
	context  string
	json     jsonFlag
	jq       string
	template string
	noInput  bool
	// dir is where git looks for commits; "" is the working directory.
	dir string
	// commit is --commit of verbs that name a run.
	commit string

	// running says that arguments and flags were fine. What fails before is the user's typing.
	running bool
}

func (a *app) main(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(joinFields(root, args))
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitSucceeded
	}
	if errors.Is(err, errListed) {
		return exitSucceeded
	}
	if !a.running {
		err = &exitError{code: exitUsage, err: fmt.Errorf("%w\nSee `%s --help`", err, cmd.CommandPath())}
	}
	var known *exitError
	if !errors.As(err, &known) && ctx.Err() != nil {
		return exitDetached // interrupted; whatever broke off did so because of it
	}
	if known == nil || known.err != nil {
		a.report(err)
	}
	return exitCode(err)
}

const rootHelp = `Trigger runs, follow them and manage jobs.

ci finds its server in CI_URL and CI_TOKEN, or else in the context that ` + "`ci login`" + ` stored.

Data goes to standard output, progress to standard error. A terminal gets tables and colours (NO_COLOR and CLICOLOR_FORCE are obeyed), a pipe
tab-separated columns that each verb's help names. --json prints the server's JSON, --json FIELDS parts of it; --jq and --template shape it.`

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "ci",
		Short:         "Trigger runs, follow them and manage jobs",
		Long:          rootHelp,
		Example:       "  ci run unit-test --branch main\n  ci ls --status failed --since 24h\n  ci logs unit-test@latest",
		Version:       a.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          verbOnly,
		RunE:          func(cmd *cobra.Command, _ []string) error { return a.bare(cmd) },
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	flags := root.PersistentFlags()
	flags.StringVar(&a.context, "context", "", "use the stored context of this `name`")
	flags.BoolVar(&a.noInput, "no-input", false, "never ask anything; also when CI_NO_INPUT is set")
	a.outputFlags(flags)
	root.AddGroup(&cobra.Group{ID: "runs", Title: "Runs:"}, &cobra.Group{ID: "jobs", Title: "Jobs:"}, &cobra.Group{ID: "system", Title: "The system:"})
	group(root, "runs", newOpen(a))
	group(root, "runs", newRun(a), newRerun(a), newList(a), newShow(a), newWatch(a), newWait(a), newLogs(a), newTests(a), newResult(a), newAbort(a), newPin(a), newQueue(a), newExec(a))
	group(root, "jobs", newJob(a), newApply(a), newExport(a), newSecret(a), newPipeline(a), newEventTrigger(a))
	group(root, "system", newTUI(a), newLogin(a), newContext(a), newDoctor(a), newAgent(a), newConfig(a), newRetention(a), newToken(a), newRegistry(a), newSSHKey(a), newForge(a), newEvents(a), newCredential(a), newAPI(a))
	root.AddCommand(newVersion(a), newMan(a), newExitCodes(a))
	a.beginEach(root)
	a.completeEach(root)
	return root
}

// beginEach lets every verb begin with begin. Cobra's own hooks come before it
// has checked all flags.
func (a *app) beginEach(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := a.begin(cmd); err != nil {
				return err
			}
			return run(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		a.beginEach(c)
	}
}

func group(root *cobra.Command, id string, cmds ...*cobra.Command) {
	for _, c := range cmds {
		c.GroupID = id
		root.AddCommand(c)
	}
}

// begin runs once arguments and flags have been read.
func (a *app) begin(cmd *cobra.Command) error {
	if err := a.useFields(cmd); err != nil {
		return err
	}
	if a.jq != "" && a.template != "" {
		return errors.New("--jq and --template are two ways to say the same; choose one")
	}
	if _, err := a.parseTemplate(a.template); err != nil {
		return fmt.Errorf("--template: %w", err)
	}
	if a.jq != "" {
		if _, err := compileJQ(a.jq); err != nil {
			return fmt.Errorf("--jq: %w", err)
		}
	}
	a.running = true
	return nil
}

// parent makes a command that only holds others.
func parent(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: verbOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(children...)
	return cmd
}

// verbOnly refuses what is no verb of a command, and says which was meant.
func verbOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("%s has no verb %q%s", cmd.CommandPath(), args[0], hint)
}
