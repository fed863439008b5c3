package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	udiff "github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type applyOptions struct {
	*app
	files    []string
	owner    string
	diff     bool
	dryRun   bool
	prune    bool
	takeOver bool
	detailed bool
}

const applyHelp = `Make the server's jobs be what files say. Applying the same again changes nothing.

A FILE is YAML or JSON with one job or several documents, as ` + "`ci job export`" + ` writes them; a folder stands for all its .yaml, .yml and .json files, at any depth; - is standard input:

  name: unit-test
  git: { url: "https://host/path.git", configPath: ci/unit-test.yaml }
  parameters: [{ name: LEVEL, default: "1", description: how thorough }]
  triggers: [deploy]             # the jobs that its runs may trigger, with ci: true

All files are read and checked before anything is changed. --diff shows what differs, --dry-run changes nothing.

With --owner NAME the jobs are marked as kept by NAME, for example a repository. A job of another owner is not touched, unless --take-over is given.
--prune deletes the jobs of that owner, and of no other, that no file has any more; their runs stay.

Exit codes: 0, or with --detailed-exitcode 8 when something was changed, or with --dry-run would be.

Columns in a pipe, separated by tabs: name, created or updated or unchanged or deleted, version. With --diff a unified diff instead. With --json each job is a line.`

func newApply(a *app) *cobra.Command {
	o := &applyOptions{app: a}
	cmd := &cobra.Command{
		Use:   "apply -f FILE…",
		Short: "Make the server's jobs be what a folder of files says",
		Long:  applyHelp,
		Example: "  ci apply -f jobs/ --diff --dry-run\n  ci apply -f jobs/ --owner my-project --prune\n" +
			"  ci apply -f jobs/unit-test.yaml\n  ci job export --all | ci apply -f - --detailed-exitcode",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "file", "f", nil, "read jobs from this `file` or folder; - is standard input; may be repeated")
	f.StringVar(&o.owner, "owner", "", "mark the jobs as kept by this `name`")
	f.BoolVar(&o.diff, "diff", false, "print what differs, as a unified diff")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "change nothing, only say what would be")
	f.BoolVar(&o.prune, "prune", false, "delete the owner's jobs that no file has; needs --owner")
	f.BoolVar(&o.takeOver, "take-over", false, "take jobs of another owner too")
	f.BoolVar(&o.detailed, "detailed-exitcode", false, "exit with 8 when something was changed, or would be")
	_ = cmd.MarkFlagRequired("file")
	return document(cmd, "", []string{"name", "change", "version"})
}

// What becomes of a job.
const (
	jobCreated   = "created"
	jobUpdated   = "updated"
	jobUnchanged = "unchanged"
	jobDeleted   = "deleted"
)

// jobChange is what applying does to one job.
type jobChange struct {
	verb string
	// old is the job as the server has it, nil when it has none; made the job
	// as the files have it, nil when they have none.
	old, made *ci.Job
}

func (c jobChange) name() string {
	if c.made != nil {
		return c.made.Name
	}
	return c.old.Name
}

func (o *applyOptions) run(ctx context.Context) error {
	if o.prune && o.owner == "" {
		return usagef("--prune deletes jobs, so it has to know whose; give --owner NAME")
	}
	if o.owner != "" {
		if err := ci.ValidateName(o.owner); err != nil {
			return usagef("--owner %q is not a name: %w", o.owner, err)
		}
	}
	jobs, err := o.read()
	if err != nil {
		return err
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	changes, err := o.plan(ctx, c, jobs)
	if err != nil {
		return err
	}
	return o.carryOut(ctx, c, changes)
}

// read reads and checks all files.
func (o *applyOptions) read() ([]ci.Job, error) {
	var all []ci.Job
	in := map[string]string{}
	for _, file := range o.files {
		paths, err := jobFiles(file)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			jobs, err := o.readJobs(path)
			if err != nil {
				return nil, err
			}
			for i := range jobs {
				name := jobs[i].Name
				if first, twice := in[name]; twice {
					return nil, usagef("job %s is in %s and in %s; keep one", name, first, fileName(path))
				}
				in[name] = fileName(path)
			}
			all = append(all, jobs...)
		}
	}
	return all, nil
}

func (o *applyOptions) readJobs(path string) ([]ci.Job, error) {
	data, err := o.readFile(path)
	if err != nil {
		return nil, err
	}
	jobs, err := parseJobs(fileName(path), data)
	if err != nil {
		return nil, err
	}
	for i := range jobs {
		jobs[i].Owner = o.owner
		if err := jobs[i].Validate(); err != nil {
			return nil, fmt.Errorf("job %s of %s: %w", jobs[i].Name, fileName(path), err)
		}
	}
	return jobs, nil
}

// jobFiles are the files that a name stands for: itself, or those of a folder. Hidden ones are passed over.
func jobFiles(name string) ([]string, error) {
	if info, err := os.Stat(name); name == "-" || err != nil || !info.IsDir() {
		return []string{name}, nil // readFile says what is wrong with it
	}
	var files []string
	err := filepath.WalkDir(name, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != name && strings.HasPrefix(e.Name(), ".") && e.IsDir():
			return fs.SkipDir
		case !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return nil, usagef("the folder can't be read: %w", err)
	}
	if len(files) == 0 {
		return nil, usagef("folder %s has no .yaml, .yml or .json file", name)
	}
	return files, nil
}

// plan compares the files with the server. It changes nothing, and refuses what belongs to others.
func (o *applyOptions) plan(ctx context.Context, c Client, jobs []ci.Job) ([]jobChange, error) {
	stored := map[string]*ci.Job{}
	for j, err := range c.ListJobs(ctx) {
		if err != nil {
			return nil, err
		}
		stored[j.Name] = &j
	}
	var changes []jobChange
	var foreign []string
	for i := range jobs {
		made := &jobs[i]
		there := stored[made.Name]
		delete(stored, made.Name)
		if there != nil && o.owner == "" {
			made.Owner = there.Owner // whoever does not say an owner leaves it
		}
		if there != nil && there.Owner != "" && there.Owner != made.Owner && !o.takeOver {
			foreign = append(foreign, fmt.Sprintf("%s (of %s)", there.Name, there.Owner))
		}
		changes = append(changes, compare(there, made))
	}
	if len(foreign) > 0 {
		return nil, usagef("others keep these jobs: %s; leave them out, or give --take-over", strings.Join(foreign, ", "))
	}
	for _, name := range sortedKeys(stored) {
		if o.prune && stored[name].Owner == o.owner {
			changes = append(changes, jobChange{verb: jobDeleted, old: stored[name]})
		}
	}
	return changes, nil
}

func compare(there, made *ci.Job) jobChange {
	switch {
	case there == nil:
		return jobChange{jobCreated, nil, made}
	case sameJob(there, made):
		return jobChange{jobUnchanged, there, made}
	}
	return jobChange{jobUpdated, there, made}
}

// carryOut makes the changes and tells of each.
func (o *applyOptions) carryOut(ctx context.Context, c Client, changes []jobChange) error {
	count := map[string]int{}
	for _, ch := range changes {
		version, err := o.make(ctx, c, ch)
		if err != nil {
			return fmt.Errorf("job %s: %w", ch.name(), err)
		}
		count[ch.verb]++
		if err := o.told(ctx, ch, version); err != nil {
			return err
		}
	}
	would := ""
	if o.dryRun {
		would = "It would be: "
	}
	o.note("%s%d created, %d updated, %d deleted, %d unchanged", would, count[jobCreated], count[jobUpdated], count[jobDeleted], count[jobUnchanged])
	if o.detailed && count[jobUnchanged] < len(changes) {
		return &exitError{code: exitChanged}
	}
	return nil
}

// make makes one change, if it is one, and returns the job's version afterwards.
func (o *applyOptions) make(ctx context.Context, c Client, ch jobChange) (int64, error) {
	version := int64(-1) // must not exist
	if ch.old != nil {
		version = ch.old.Version
	}
	switch {
	case o.dryRun || ch.verb == jobUnchanged:
		return max(version, 0), nil
	case ch.verb == jobDeleted:
		return version, c.DeleteJob(ctx, ch.old.Name)
	}
	// The version that was compared guards against somebody else's change in between.
	stored, _, err := c.PutJob(ctx, ch.made, version)
	if err != nil {
		return 0, err
	}
	return stored.Version, nil
}

func (o *applyOptions) told(ctx context.Context, ch jobChange, version int64) error {
	switch {
	case o.wantsJSON():
		return o.printItem(ctx, map[string]any{"name": ch.name(), "change": ch.verb, "version": version})
	case o.diff:
		return o.printDiff(ch)
	case o.OutTTY:
		fmt.Fprintf(o.Out, "%s %s\n", clean(ch.name()), ch.verb)
	default:
		fmt.Fprintf(o.Out, "%s\t%s\t%d\n", clean(ch.name()), ch.verb, version)
	}
	return nil
}

// printDiff prints a change as a unified diff of the documents that `ci job export` writes.
func (o *applyOptions) printDiff(ch jobChange) error {
	before, err1 := ownedText(ch.old)
	after, err2 := ownedText(ch.made)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	from, to := "server/"+ch.name(), "files/"+ch.name()
	if ch.old == nil {
		from = os.DevNull
	}
	if ch.made == nil {
		to = os.DevNull
	}
	text := udiff.Unified(from, to, before, after)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		fmt.Fprintln(o.Out, o.outStyle(diffStyle(line), cleanTabbed(line)))
	}
	return nil
}

// ownedText is a job's document with its owner, which export leaves out.
func ownedText(j *ci.Job) (string, error) {
	if j == nil {
		return "", nil
	}
	text, err := jobText(j)
	if j.Owner != "" {
		text = "# owner: " + j.Owner + "\n" + text
	}
	return text, err
}

func diffStyle(line string) style {
	switch {
	case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"):
		return bold
	case strings.HasPrefix(line, "@@"):
		return cyan
	case strings.HasPrefix(line, "+"):
		return green
	case strings.HasPrefix(line, "-"):
		return red
	}
	return plain
}
