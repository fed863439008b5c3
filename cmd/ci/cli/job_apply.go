package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type jobApplyOptions struct {
	*app
	file      string
	freestyle string
	git       ci.Git
	defaults  []string
	required  []string
	triggers  []string
	keep      []string
}

const jobApplyHelp = `Create or replace jobs. Applying the same again changes nothing.

ci apply does the same with folders, shows what differs, and deletes what is gone.

From a file (or - for standard input) of YAML or JSON, with one job or several documents:

  name: unit-test
  git: { url: "https://host/path.git", configPath: ci/unit-test.yaml }
  parameters: [{ name: LEVEL, default: "1", description: how thorough }]
  triggers: [deploy]             # the jobs that its runs may trigger, with ci: true
  keep: { results: { age: 168h }, console: { count: 100 } }   # of runs, results, console: age, count, bytes; else the configuration's

or from flags. Exactly one of git and freestyle is needed; freestyle holds a job file's keys. Without --keep, what is kept of the job's runs stays as it is.

Columns in a pipe, separated by tabs: name, created or updated or unchanged, version.`

func newJobApply(a *app) *cobra.Command {
	o := &jobApplyOptions{app: a}
	cmd := &cobra.Command{
		Use:     "apply [JOB]",
		Aliases: []string{"put", "create", "set"},
		Short:   "Create or replace jobs",
		Long:    jobApplyHelp,
		Example: "  ci job apply -f jobs.yaml\n  ci job apply unit-test --git-url https://git.example.com/project.git --config-path ci/unit-test.yaml --param LEVEL=1\n  ci job apply hello --freestyle hello.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "read jobs from this `file`; - is standard input")
	f.StringVar(&o.freestyle, "freestyle", "", "a freestyle job with the job file in this `file`")
	f.StringVar(&o.git.URL, "git-url", "", "a git job of this repository")
	f.StringVar(&o.git.ConfigPath, "config-path", "", "the job file's path in the repository")
	f.StringVar(&o.git.SSHKey, "ssh-key", "", "the name of the server's key pair that the repository accepts")
	f.StringArrayVarP(&o.defaults, "param", "p", nil, "a parameter with a default: `NAME=DEFAULT`; may be repeated")
	f.StringArrayVar(&o.required, "required", nil, "a parameter that every trigger must give; may be repeated")
	f.StringArrayVar(&o.triggers, "triggers", nil, "a `job` that its runs may trigger when the job file says ci: true; may be repeated")
	f.StringArrayVar(&o.keep, "keep", nil, "what is kept of its runs instead of what the configuration says: `KIND.LIMIT=VALUE` such as results.age=168h, or KIND=all; may be repeated; '' keeps what the configuration says again")
	cmd.MarkFlagsOneRequired("file", "freestyle", "git-url")
	cmd.MarkFlagsMutuallyExclusive("file", "freestyle", "git-url")
	return cmd
}

func (o *jobApplyOptions) run(ctx context.Context, args []string) error {
	jobs, err := o.jobs(args)
	if err != nil {
		return err
	}
	for i := range jobs {
		if err := jobs[i].Validate(); err != nil {
			return fmt.Errorf("job %s: %w", jobs[i].Name, err)
		}
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	for i := range jobs {
		stored, verb, err := o.apply(ctx, c, &jobs[i])
		if err != nil {
			return fmt.Errorf("job %s: %w", jobs[i].Name, err)
		}
		if err := o.applied(ctx, stored, verb); err != nil {
			return err
		}
	}
	return nil
}

// jobs reads what is to be applied.
func (o *jobApplyOptions) jobs(args []string) ([]ci.Job, error) {
	if o.file != "" {
		if len(args) > 0 || len(o.defaults)+len(o.required)+len(o.triggers)+len(o.keep) > 0 {
			return nil, usagef("the file says name, parameters, triggers and what is kept; give --file alone")
		}
		data, err := o.readFile(o.file)
		if err != nil {
			return nil, err
		}
		return parseJobs(fileName(o.file), data)
	}
	if len(args) == 0 {
		return nil, usagef("what is the job called? Give its name first")
	}
	job := ci.Job{Name: args[0], Triggers: o.triggers}
	var err error
	if job.Keep, err = readKeep(o.limits()); err != nil {
		return nil, err
	}
	if job.Parameters, err = o.parameters(); err != nil {
		return nil, err
	}
	if o.freestyle == "" {
		job.Git = &o.git
		return []ci.Job{job}, nil
	}
	data, err := o.readFile(o.freestyle)
	if err == nil {
		job.Freestyle, err = freestyle(fileName(o.freestyle), data)
	}
	return []ci.Job{job}, err
}

// limits are the words of --keep; one that is empty is none.
func (o *jobApplyOptions) limits() []string {
	if slices.Equal(o.keep, []string{""}) {
		return nil
	}
	return o.keep
}

func (o *jobApplyOptions) parameters() ([]ci.Parameter, error) {
	var all []ci.Parameter
	for _, p := range o.defaults {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			return nil, usagef("--param %q has no default; expected NAME=DEFAULT, or --required %s", p, p)
		}
		all = append(all, ci.Parameter{Name: name, Default: value})
	}
	for _, name := range o.required {
		all = append(all, ci.Parameter{Name: name, Required: true})
	}
	return all, nil
}

// apply stores a job, unless it is stored like this already.
func (o *jobApplyOptions) apply(ctx context.Context, c Client, j *ci.Job) (*ci.Job, string, error) {
	there, err := c.GetJob(ctx, j.Name)
	ifVersion := int64(-1) // must not exist
	switch {
	case err == nil:
		j.Owner = there.Owner // who keeps it as code stays so
		if o.file == "" && len(o.keep) == 0 {
			j.Keep = there.Keep // a line written before there was --keep must not let runs go, or keep them all
		}
		if ifVersion = there.Version; sameJob(there, j) {
			return there, "unchanged", nil
		}
	case ci.CodeOf(err) != ci.CodeNotFound:
		return nil, "", err
	}
	stored, created, err := c.PutJob(ctx, j, ifVersion)
	if created {
		return stored, "created", err
	}
	return stored, "updated", err
}

// sameJob says whether what people choose about two jobs is the same.
func sameJob(a, b *ci.Job) bool {
	if a.Owner != b.Owner {
		return false
	}
	if (a.Git == nil) != (b.Git == nil) || len(a.Parameters) != len(b.Parameters) {
		return false
	}
	if !slices.Equal(a.Triggers, b.Triggers) || !reflect.DeepEqual(a.Keep, b.Keep) {
		return false
	}
	for i := range a.Parameters {
		if a.Parameters[i] != b.Parameters[i] {
			return false
		}
	}
	if a.Git != nil {
		return *a.Git == *b.Git
	}
	var x, y any
	return json.Unmarshal(a.Freestyle, &x) == nil && json.Unmarshal(b.Freestyle, &y) == nil && reflect.DeepEqual(x, y)
}

func (o *jobApplyOptions) applied(ctx context.Context, j *ci.Job, verb string) error {
	switch {
	case o.wantsJSON():
		return o.printGet(ctx, at("jobs", j.Name))
	case o.OutTTY:
		fmt.Fprintf(o.Out, "%s %s (version %d)\n", clean(j.Name), verb, j.Version)
	default:
		fmt.Fprintf(o.Out, "%s\t%s\t%d\n", clean(j.Name), verb, j.Version)
	}
	return nil
}
