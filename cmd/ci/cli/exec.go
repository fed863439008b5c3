package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"ci/cmd/ci/local"
	"ci/pkg/ci"
	"ci/pkg/jobfile"
)

type execOptions struct {
	*app
	local.Options
	job        string
	parameters []string
	envFile    string
	results    string
	reach      []uint
}

const execHelp = `Run a job file against the working tree, on the Docker engine of this machine.

The script runs as on the server: the same containers, services, limits and results, by the same code; what passes here passes there. Its files are those of
the working tree that FILE lies in: what git tracks and what it does not ignore, as it lies there, committed or not. Nothing of the machine is mounted.

Secrets that the job file names under env are taken from the environment, or from --env-file; missing ones are listed before anything starts. They are masked in
the output. With ssh: true the script reaches your own SSH agent ($SSH_AUTH_SOCK) with all keys in it, and believes the hosts of your known_hosts. With ci: true there is
no server to call, and no token. Parameters are variables of any name here, since it is the job on the server that knows them.

An interrupt ends the run as an abort does, with a grace period; a second one kills it. Nothing is left behind; should ci itself be killed, the next ci exec tidies up.`

func newExec(a *app) *cobra.Command {
	o := &execOptions{app: a}
	cmd := &cobra.Command{
		Use:     "exec FILE",
		Short:   "Run a job file here, against the working tree",
		Long:    execHelp,
		Example: "  ci exec ci/unit-test.yaml\n  NPM_TOKEN=… ci exec ci/publish.yaml -p STAGE=test --results out/",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.parameters, "param", "p", nil, "give a parameter a value: `NAME=VALUE`; may be repeated")
	f.StringVar(&o.envFile, "env-file", "", "take secrets from the lines NAME=VALUE of this `file`, before the environment")
	f.StringVar(&o.results, "results", "", "write results into this `folder`; it is made if missing")
	f.StringVar(&o.job, "job", "", "the job's `name`, for CI_JOB (default: the file's)")
	f.StringVar(&o.Docker, "docker", "", "Docker engine, unix:///path or tcp://host:port (default: $DOCKER_HOST, else the local one)")
	f.StringVar(&o.ToolboxImage, "toolbox-image", "", "published image with git and a shell, instead of one put together from this machine")
	f.StringVar(&o.Subnet, "subnet", "", "private address range that runs' networks are cut from, for example 10.231.0.0/16")
	f.UintSliceVar(&o.reach, "reach", nil, "TCP `ports` of the engine's machine that the script may connect to; all else of it is closed")
	f.BoolVar(&o.OpenHost, "open-host", false, "leave the engine's machine open to the script, for a kernel without nftables")
	return cmd
}

func (o *execOptions) run(ctx context.Context, file string) error {
	if o.wantsJSON() {
		return usagef("exec prints what the script prints; --json and --jq are not possible here")
	}
	order, err := o.order(ctx, file)
	if err != nil {
		return err
	}
	o.note("%s at %s", order.Job, standing(order.Tree))
	// A pipe that nobody reads any more must not end ci before it has tidied up.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	console, end := o.consoleOut()
	order.Console = console
	run, err := local.Carry(ctx, *order)
	if err = errors.Join(err, end()); err != nil {
		return err
	}
	o.outcome(run)
	return exitOf(run)
}

// order reads everything that the run needs, before anything starts.
func (o *execOptions) order(ctx context.Context, file string) (*local.Order, error) {
	values, err := parameters(o.parameters)
	if err != nil {
		return nil, err
	}
	if err := checkParameters(values); err != nil {
		return nil, err
	}
	tree, err := local.OpenTree(ctx, file)
	if err != nil {
		return nil, err
	}
	data, err := o.readFile(file)
	if err != nil {
		return nil, err
	}
	spec, err := jobfile.Parse(file, data, repositoryFiles(ctx, file))
	if err != nil {
		return nil, err
	}
	secrets, err := o.secrets(spec)
	if err != nil {
		return nil, err
	}
	order := &local.Order{
		Options: o.Options, Job: o.job, Spec: spec, Tree: tree, Parameters: values, Secrets: secrets, Save: o.save(), Trace: o.trace(),
		Told: func(what string) { o.note("%s", o.errStyle(dim, what)) }, Again: o.Again,
	}
	if spec.SSH {
		order.AgentSocket = o.Env("SSH_AUTH_SOCK")
		order.KnownHosts = hostsOf(filepath.Join(o.Env("HOME"), ".ssh", "known_hosts"))
	}
	if order.Reach, err = portsOf(o.reach); err != nil {
		return nil, err
	}
	if order.Job == "" {
		order.Job = strings.TrimSuffix(path.Base(tree.File), path.Ext(tree.File))
	}
	if err := ci.ValidateName(order.Job); err != nil {
		return nil, usagef("the file's name gives no name of a job; --job names it")
	}
	order.State, err = o.stateDir()
	return order, err
}

func portsOf(list []uint) ([]uint16, error) {
	ports := make([]uint16, len(list))
	for i, p := range list {
		if p == 0 || p > math.MaxUint16 {
			return nil, usagef("--reach names port %d; a port is a number from 1 to 65535", p)
		}
		ports[i] = uint16(p)
	}
	return ports, nil
}

// checkParameters refuses what no job could declare.
func checkParameters(values map[string]string) error {
	job := ci.Job{Name: "exec", Git: &ci.Git{URL: "https://exec/", ConfigPath: "exec"}}
	for _, name := range sortedKeys(values) {
		job.Parameters = append(job.Parameters, ci.Parameter{Name: name})
	}
	if err := job.Validate(); err != nil {
		return err
	}
	_, err := job.Values(values)
	return err
}

// standing says in a few words what the tree is.
func standing(t *local.Tree) string {
	what := "no commit"
	if t.Commit != "" {
		what = shortSHA(t.Commit)
	}
	if t.Branch != "" {
		what += " (" + clean(t.Branch) + ")"
	}
	if t.Dirty {
		what += ", with changes that are not committed"
	}
	return what
}

// secrets finds the values of what the job file names under env.
func (o *execOptions) secrets(spec *ci.Spec) (map[string]string, error) {
	given, err := o.readEnvFile()
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	var missing []string
	for _, name := range spec.Env {
		value, ok := given[name]
		if !ok {
			value = o.Env(name)
		}
		if value == "" {
			missing = append(missing, name)
			continue
		}
		if err := ci.ValidateSecret(name, value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		values[name] = value
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return nil, &exitError{code: exitOther, err: fmt.Errorf("secrets are missing: %s; the job file names them under env: set them in the environment, or in a file for --env-file", strings.Join(missing, ", "))}
	}
	return values, nil
}

// readEnvFile reads lines of NAME=VALUE; a value is all that follows, as it is. Empty lines and those
// that begin with # are left out.
func (o *execOptions) readEnvFile() (map[string]string, error) {
	if o.envFile == "" {
		return nil, nil
	}
	data, err := o.readFile(o.envFile)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" {
			return nil, usagef("%s:%d: the line is not NAME=VALUE", o.envFile, i+1) // it may be half of a secret: it is not shown
		}
		values[name] = value
	}
	return values, nil
}

// save gives each result a file of its own in the folder for results.
func (o *execOptions) save() func(ci.Result) (string, error) {
	taken := map[string]bool{}
	return func(r ci.Result) (string, error) {
		if o.results == "" {
			return "", nil
		}
		if err := os.MkdirAll(o.results, 0o755); err != nil {
			return "", ci.Errorf(ci.CodeInvalid, "the folder for results can't be made: %w", err)
		}
		name := safeName(r)
		if taken[name] {
			name = r.Name + "-" + name
		}
		taken[name] = true
		return filepath.Join(o.results, name), nil
	}
}

// stateDir is where exec remembers its names, by the XDG Base Directory rules.
func (a *app) stateDir() (string, error) {
	if dir := a.Env("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "ci", "exec"), nil
	}
	home := a.Env("HOME")
	if home == "" {
		return "", usagef("neither XDG_STATE_HOME nor HOME is set, so there is no place to remember what is in Docker")
	}
	return filepath.Join(home, ".local", "state", "ci", "exec"), nil
}

// hostsOf reads the plain lines of a known_hosts file (sshd(8)); what it
// can't read is not believed.
func hostsOf(path string) []ci.HostKey {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var hosts []ci.HostKey
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) >= 3 && !strings.ContainsAny(f[0][:1], "#@") {
			hosts = append(hosts, ci.HostKey{Host: f[0], Key: f[1] + " " + f[2]})
		}
	}
	return hosts
}
