package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type resultGetOptions struct {
	*app
	output string
	force  bool
}

func newResultGet(a *app) *cobra.Command {
	o := &resultGetOptions{app: a}
	cmd := &cobra.Command{
		Use:     "get JOB RUN [NAME]",
		Aliases: []string{"download"},
		Short:   "Fetch one result, or all of a run",
		Long: "Fetch one result into a file, or all results of a run but its output into a folder. The bytes are checked against the server's SHA-256.\n" +
			"Each path that was written is printed.",
		Example: "  ci result get unit-test @latest junit\n  ci result get unit-test/123 coverage -o - | less\n  ci result get unit-test 123 -o results/",
		Args:    runArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "write to this `path`; - is standard output; default is the result's own file name")
	cmd.Flags().BoolVar(&o.force, "force", false, "replace files that are there")
	return cmd
}

func (o *resultGetOptions) run(ctx context.Context, args []string) error {
	if o.wantsJSON() {
		return usagef("results are files, not JSON; `ci result ls --json` lists them")
	}
	_, names, err := parseRef(args)
	if err != nil {
		return err
	}
	c, ref, err := o.openRun(ctx, args)
	if err != nil {
		return err
	}
	results, err := c.Results(ctx, ref.job, ref.id)
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
		return o.fetch(ctx, c, ref, r, o.Out)
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
func pick(results []ci.Result, name string, ref runRef) (ci.Result, error) {
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
func (o *resultGetOptions) all(ctx context.Context, c Client, ref runRef, results []ci.Result) error {
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

// safeName is a result's file name within a folder: the server's, without any
// way out of the folder, and never hidden.
func safeName(r ci.Result) string {
	name := filepath.Base(filepath.Clean("/" + strings.ReplaceAll(r.Filename, `\`, "/")))
	if name == "/" || strings.HasPrefix(name, ".") || name != clean(name) {
		return r.Name
	}
	return name
}

// save writes one result to a file, whole or not at all.
func (o *resultGetOptions) save(ctx context.Context, c Client, ref runRef, r ci.Result, path string) error {
	if _, err := os.Lstat(path); err == nil && !o.force {
		return usagef("%s is there already; name another with -o, or replace it with --force", path)
	}
	if dir := filepath.Dir(path); dir != "." {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("the folder can't be made: %w", err)
		}
	}
	err := writeFile(path, func(f *os.File) error {
		return errors.Join(f.Chmod(0o644), o.fetch(ctx, c, ref, r, f))
	})
	if err == nil {
		fmt.Fprintln(o.Out, clean(path))
	}
	return err
}

// fetch copies a result's bytes and checks them.
func (a *app) fetch(ctx context.Context, c Client, ref runRef, r ci.Result, w io.Writer) error {
	body, _, _, _, err := c.OpenResult(ctx, ref.job, ref.id, r.Name)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read from
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), body); err != nil {
		return fmt.Errorf("result %s of %s broke off: %w", r.Name, ref, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); r.SHA256 != "" && got != r.SHA256 {
		return ci.Errorf(ci.CodeInternal, "result %s of %s arrived damaged: its SHA-256 is %s, the server's is %s; fetch it again", r.Name, ref, got, r.SHA256)
	}
	return nil
}
