package cli

import (
	"context"
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

const applyHelp = `Make the server's jobs, event triggers and pipelines be what files say. Applying the same again changes nothing.

A FILE is YAML or JSON with one document or several, as ` + "`ci export`" + ` writes them; a folder stands for all its .yaml, .yml and .json files, at any depth; - is standard input. A document without a kind is a job:

  name: unit-test
  git: { url: "https://host/path.git", configPath: ci/unit-test.yaml }
  parameters: [{ name: LEVEL, default: "1", description: how thorough }]
  triggers: [deploy]             # the jobs that its runs may trigger, with ci: true
  ---
  kind: event-trigger            # see ` + "`ci event-trigger apply --help`" + `
  name: unit-test
  repository: example/app
  job: unit-test
  ---
  kind: pipeline                 # or program: with the text itself
  name: release
  file: release.star             # beside this file

All files are read and checked before anything is changed. --diff shows what differs, --dry-run changes nothing.

With --owner NAME the jobs are marked as kept by NAME, for example a repository. A job of another owner is not touched, unless --take-over is given; nor is an event trigger of such a job.
--prune deletes the jobs of that owner, and of no other, that no file has any more; their runs stay. It deletes event triggers of that owner's jobs, too, if the files have event triggers at all. Pipelines have no owner; they are never pruned.

Exit codes: 0, or with --detailed-exitcode 8 when something was changed, or with --dry-run would be.

Columns in a pipe, separated by tabs: name, created or updated or unchanged or deleted, version, kind (job, event-trigger or pipeline). With --diff a unified diff instead. With --json each of them is a line.`

func newApply(a *app) *cobra.Command {
	o := &applyOptions{app: a}
	cmd := &cobra.Command{
		Use:   "apply -f FILE…",
		Short: "Make jobs, event triggers and pipelines be what a folder of files says",
		Long:  applyHelp,
		Example: "  ci apply -f jobs/ --diff --dry-run\n  ci apply -f jobs/ --owner my-project --prune\n" +
			"  ci apply -f jobs/unit-test.yaml\n  ci export | ci apply -f - --detailed-exitcode",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "file", "f", nil, "read this `file` or folder; - is standard input; may be repeated")
	f.StringVar(&o.owner, "owner", "", "mark the jobs as kept by this `name`")
	f.BoolVar(&o.diff, "diff", false, "print what differs, as a unified diff")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "change nothing, only say what would be")
	f.BoolVar(&o.prune, "prune", false, "delete the owner's jobs, and their event triggers, that no file has; needs --owner")
	f.BoolVar(&o.takeOver, "take-over", false, "take jobs of another owner too")
	f.BoolVar(&o.detailed, "detailed-exitcode", false, "exit with 8 when something was changed, or would be")
	_ = cmd.MarkFlagRequired("file")
	return document(cmd, "", []string{"name", "change", "version", "kind"})
}

// What becomes of a thing.
const (
	thingCreated   = "created"
	thingUpdated   = "updated"
	thingUnchanged = "unchanged"
	thingDeleted   = "deleted"
)

// thingChange is what applying does to one thing.
type thingChange struct {
	kind, name, verb string
	// version is the thing's on the server; 0 when it has none there.
	version int64
	// before and after are its documents, "" where there is none.
	before, after string
	// make carries the change out, unless it is unchanged, and returns the version afterwards.
	make func(ctx context.Context) (int64, error)
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
	files, err := o.read()
	if err != nil {
		return err
	}
	p, err := o.planner()
	if err != nil {
		return err
	}
	changes, err := p.plan(ctx, files)
	if err != nil {
		return err
	}
	return o.carryOut(ctx, changes)
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

// carryOut makes the changes and tells of each.
func (o *applyOptions) carryOut(ctx context.Context, changes []thingChange) error {
	count := map[string]int{}
	for i := range changes {
		ch := &changes[i]
		if !o.dryRun && ch.verb != thingUnchanged {
			var err error
			if ch.version, err = ch.make(ctx); err != nil {
				return fmt.Errorf("%s %s: %w", strings.ReplaceAll(ch.kind, "-", " "), ch.name, err)
			}
		}
		count[ch.verb]++
		if err := o.told(ctx, ch); err != nil {
			return err
		}
	}
	would := ""
	if o.dryRun {
		would = "It would be: "
	}
	o.note("%s%d created, %d updated, %d deleted, %d unchanged", would, count[thingCreated], count[thingUpdated], count[thingDeleted], count[thingUnchanged])
	if o.detailed && count[thingUnchanged] < len(changes) {
		return &exitError{code: exitChanged}
	}
	return nil
}

func (o *applyOptions) told(ctx context.Context, ch *thingChange) error {
	name := clean(ch.name)
	if ch.kind != kindJob {
		name = strings.ReplaceAll(ch.kind, "-", " ") + " " + name
	}
	switch {
	case o.wantsJSON():
		return o.printItem(ctx, map[string]any{"name": ch.name, "change": ch.verb, "version": ch.version, "kind": ch.kind})
	case o.diff:
		o.printDiff(ch)
	case o.OutTTY:
		fmt.Fprintf(o.Out, "%s %s\n", name, ch.verb)
	default:
		fmt.Fprintf(o.Out, "%s\t%s\t%d\t%s\n", clean(ch.name), ch.verb, ch.version, ch.kind)
	}
	return nil
}

// printDiff prints a change as a unified diff of the documents that `ci export` writes.
func (o *applyOptions) printDiff(ch *thingChange) {
	place := ch.name
	if ch.kind != kindJob {
		place = folderOf[ch.kind] + "/" + ch.name
	}
	from, to := "server/"+place, "files/"+place
	if ch.before == "" {
		from = os.DevNull
	}
	if ch.after == "" {
		to = os.DevNull
	}
	text := udiff.Unified(from, to, ch.before, ch.after)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		fmt.Fprintln(o.Out, o.outStyle(diffStyle(line), cleanTabbed(line)))
	}
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
