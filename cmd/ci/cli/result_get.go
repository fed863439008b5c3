package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/api"
	"ci/pkg/ci"
	"ci/pkg/terminal"
)

type resultGetOptions struct {
	*app
	output string
	force  bool
}

func newResultGet(a *app) *cobra.Command {
	o := &resultGetOptions{app: a}
	cmd := &cobra.Command{
		Use:     "get RUN [NAME]",
		Aliases: []string{"download"},
		Short:   "Fetch one result, or all of a run",
		Long: "Fetch one result into a file, or all results of a run but its output into a folder. The bytes are checked against the server's SHA-256.\n" +
			"Each path that was written is printed.",
		Example: "  ci result get unit-test@latest junit\n  ci result get unit-test@main coverage -o - | head\n  ci result get unit-test@latest -o results/",
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	a.takesRun(cmd, 1)
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "write to this `path`; - is standard output; default is the result's own file name")
	cmd.Flags().BoolVar(&o.force, "force", false, "replace files that are there")
	return cmd
}

func (o *resultGetOptions) run(ctx context.Context, args []string) error {
	if o.wantsJSON() {
		return usagef("results are files, not JSON; `ci result ls --json` lists them")
	}
	c, ref, names, err := o.openRun(ctx, args)
	if err != nil {
		return err
	}
	results, err := c.Results(ctx, ref.Job, ref.Run)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return o.all(ctx, c, ref, results)
	}
	r, err := pick(results, names[0], ref)
	if err != nil {
		return err
	}
	switch {
	case o.output == "-":
		return api.CopyResult(ctx, c, ref, r, o.Out)
	case o.output == "":
		return o.save(ctx, c, ref, r, safeName(r))
	case isFolder(o.output):
		return o.save(ctx, c, ref, r, filepath.Join(o.output, safeName(r)))
	}
	return o.save(ctx, c, ref, r, o.output)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return strings.HasSuffix(path, string(filepath.Separator)) || (err == nil && info.IsDir())
}

// pick finds a result by its name.
func pick(results []ci.Result, name string, ref ci.RunRef) (ci.Result, error) {
	var known []string
	for _, r := range results {
		if r.Name == name {
			return r, nil
		}
		known = append(known, r.Name)
	}
	return ci.Result{}, ci.Errorf(ci.CodeNotFound, "%s has no result %s; it has %s", ref, name, strings.Join(known, ", "))
}

// all saves every result but the console.
func (o *resultGetOptions) all(ctx context.Context, c Client, ref ci.RunRef, results []ci.Result) error {
	if o.output == "-" {
		return usagef("several results can't go to standard output; name one")
	}
	saved := 0
	for _, r := range results {
		if r.Name == ci.ConsoleResult {
			continue
		}
		if err := o.save(ctx, c, ref, r, filepath.Join(o.output, safeName(r))); err != nil {
			return err
		}
		saved++
	}
	if saved == 0 {
		o.note("%s has saved nothing.", ref)
	}
	return nil
}

// safeName is a result's file name within a folder.
func safeName(r ci.Result) string { return terminal.FileName(r.Filename, r.Name) }

// save writes one result to a file, whole or not at all.
func (o *resultGetOptions) save(ctx context.Context, c Client, ref ci.RunRef, r ci.Result, path string) error {
	if _, err := os.Lstat(path); err == nil && !o.force {
		return usagef("%s is there already; name another with -o, or replace it with --force", path)
	}
	if dir := filepath.Dir(path); dir != "." {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("the folder can't be made: %w", err)
		}
	}
	err := writeFile(path, func(f *os.File) error {
		return errors.Join(f.Chmod(0o644), api.CopyResult(ctx, c, ref, r, f))
	})
	if err == nil {
		fmt.Fprintln(o.Out, clean(path))
	}
	return err
}
