package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type jobExportOptions struct {
	*app
	all bool
	dir string
}

func newJobExport(a *app) *cobra.Command {
	o := &jobExportOptions{app: a}
	cmd := &cobra.Command{
		Use:   "export [JOB…]",
		Short: "Write jobs as the files that `ci apply` reads",
		Long: "Write jobs as YAML documents that `ci apply` reads; applying them again changes nothing. Secrets are no part of a job, and are not written.\n" +
			"With -o each job gets a file JOB.yaml in that folder, and each path that was written is printed.",
		Example: "  ci job export unit-test\n  ci job export --all -o jobs/",
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if o.all == (len(args) > 0) {
			return usagef("name the jobs, or give --all")
		}
		return nil
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "all jobs")
	cmd.Flags().StringVarP(&o.dir, "output", "o", "", "write files into this `folder`, which is made if missing; files that are there are replaced")
	return cmd
}

func (o *jobExportOptions) run(ctx context.Context, names []string) error {
	if o.wantsJSON() {
		return usagef("export writes YAML; `ci job show --json` prints the server's JSON")
	}
	c, err := o.client()
	if err != nil {
		return err
	}
	jobs, err := o.jobs(ctx, c, names)
	if err != nil {
		return err
	}
	if o.dir != "" {
		if err := os.MkdirAll(o.dir, 0o755); err != nil {
			return usagef("the folder can't be made: %w", err)
		}
	}
	for i := range jobs {
		text, err := jobText(&jobs[i])
		if err != nil {
			return err
		}
		if err := o.write(jobs[i].Name, text, i == 0); err != nil {
			return err
		}
	}
	return nil
}

func (o *jobExportOptions) jobs(ctx context.Context, c Client, names []string) ([]ci.Job, error) {
	if o.all {
		return collect(c.ListJobs(ctx))
	}
	jobs := make([]ci.Job, len(names))
	for i, name := range names {
		j, err := c.GetJob(ctx, name)
		if err != nil {
			return nil, err
		}
		jobs[i] = *j
	}
	return jobs, nil
}

// write writes one document: into a file of its own, or behind those before it.
func (o *jobExportOptions) write(name, text string, first bool) error {
	if o.dir == "" {
		if !first {
			text = "---\n" + text
		}
		if o.OutTTY {
			text = cleanLines(text)
		}
		_, err := fmt.Fprint(o.Out, text)
		return err
	}
	path := filepath.Join(o.dir, name+".yaml") // a job's name has no slash
	err := writeFile(path, func(f *os.File) error {
		if err := f.Chmod(0o644); err != nil {
			return err
		}
		_, err := f.WriteString(text)
		return err
	})
	if err == nil {
		fmt.Fprintln(o.Out, clean(path))
	}
	return err
}

// jobText is a job as a document that reads back as the same job: YAML for
// people, or JSON, which is YAML too, for values that YAML would not keep.
func jobText(j *ci.Job) (string, error) {
	d := jobDocument{Name: j.Name, Triggers: j.Triggers, Keep: documentOfKeep(j.Keep)}
	if j.Git != nil {
		d.Git = &gitDocument{j.Git.URL, j.Git.ConfigPath, j.Git.SSHKey}
	}
	for _, p := range j.Parameters {
		d.Parameters = append(d.Parameters, parameterDocument(p))
	}
	if len(j.Freestyle) > 0 {
		dec := json.NewDecoder(bytes.NewReader(j.Freestyle))
		dec.UseNumber()
		if err := dec.Decode(&d.Freestyle); err != nil {
			return "", fmt.Errorf("the freestyle part of job %s: %w", j.Name, err)
		}
		d.Freestyle, _ = plainNumbers(d.Freestyle).(map[string]any)
	}
	text, err := yaml.MarshalWithOptions(d, yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
	if err == nil && readsBack(text, j) {
		return string(text), nil
	}
	text, err = json.MarshalIndent(d, "", "  ")
	if err != nil || !readsBack(text, j) {
		return "", ci.Errorf(ci.CodeInternal, "job %s can't be written so that it reads back as the same; `ci job show --json` prints it", j.Name)
	}
	return string(text) + "\n", nil
}

func readsBack(text []byte, j *ci.Job) bool {
	back, err := parseJobs(j.Name, text)
	if err != nil || len(back) != 1 {
		return false
	}
	back[0].Owner = j.Owner
	return back[0].Name == j.Name && sameJob(&back[0], j)
}

// plainNumbers makes integers and floats of a document's numbers, whichever they are.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
	}
	return v
}
