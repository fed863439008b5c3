package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
	"ci/pkg/jobfile"
)

func newJobCheck(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "check FILE…",
		Aliases: []string{"lint", "validate"},
		Short:   "Check job files without a server",
		Long: "Check job files without a server; - is standard input. Every fault is told with file:line:column, and the exit code is 1 when there is any.\n" +
			"What a job file names, such as a Compose file, is read from the working tree that it stands in, as a server reads it from the repository.\n" +
			"With --json each file is an object: file, valid, and errors or the parsed spec.",
		Example: "  ci job check ci/unit-test.yaml\n  cat ci/unit-test.yaml | ci job check -",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.jobCheck(cmd.Context(), args) },
	}
}

// checked is what --json says of a file.
type checked struct {
	File   string     `json:"file"`
	Valid  bool       `json:"valid"`
	Errors []ci.Field `json:"errors,omitempty"`
	Spec   *ci.Spec   `json:"spec,omitempty"`
}

func (a *app) jobCheck(ctx context.Context, files []string) error {
	bad := 0
	for _, path := range files {
		data, err := a.readFile(path)
		if err != nil {
			return err
		}
		spec, err := jobfile.Parse(fileName(path), data, repositoryFiles(ctx, path))
		var e *ci.Error
		if err != nil && !errors.As(err, &e) {
			return err
		}
		if e != nil {
			bad++
		}
		if err := a.checked(ctx, fileName(path), spec, e); err != nil {
			return err
		}
	}
	if bad > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

func (a *app) checked(ctx context.Context, file string, spec *ci.Spec, e *ci.Error) error {
	if a.wantsJSON() {
		c := checked{File: file, Valid: e == nil, Spec: spec}
		if e != nil {
			c.Errors = e.Fields
		}
		return a.printItem(ctx, c)
	}
	if e == nil {
		a.note("%s is valid", clean(file))
		for _, note := range spec.Notes {
			a.note("%s", clean(note))
		}
		return nil
	}
	for _, f := range e.Fields {
		fmt.Fprintf(a.Out, "%s: %s\n", clean(f.Path), clean(f.Message))
	}
	return nil
}

type jobSchemaOptions struct {
	*app
	text bool
}

func newJobSchema(a *app) *cobra.Command {
	o := &jobSchemaOptions{app: a}
	cmd := &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the job file, for editors",
		Example: "  ci job schema > job.schema.json\n  ci job schema --text",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	cmd.Flags().BoolVar(&o.text, "text", false, "print the keys for people instead")
	return cmd
}

func (o *jobSchemaOptions) run(ctx context.Context) error {
	if o.text {
		_, err := fmt.Fprint(o.Out, jobfile.Describe())
		return err
	}
	if o.jq != "" {
		return o.printJQ(ctx, json.RawMessage(jobfile.Schema()))
	}
	_, err := o.Out.Write(jobfile.Schema())
	return err
}
