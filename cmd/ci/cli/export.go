package cli

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

type exportOptions struct {
	jobExportOptions
	owner string
}

func newExport(a *app) *cobra.Command {
	o := &exportOptions{jobExportOptions: jobExportOptions{app: a}}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write jobs, event triggers and pipelines as the files that `ci apply` reads",
		Long: "Write all jobs, event triggers and pipelines as YAML documents that `ci apply` reads; applying them again changes nothing. Secrets are no part of them, and are not written.\n" +
			"With -o each gets a file in that folder: JOB.yaml, event-triggers/TRIGGER.yaml, pipelines/PIPELINE.yaml; each path that was written is printed.\n" +
			"With --owner only that owner's jobs are written, and their event triggers.",
		Example: "  ci export -o ci-as-code/\n  ci export --owner my-project",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	cmd.Flags().StringVar(&o.owner, "owner", "", "only the jobs that are kept by this `name`, and their event triggers")
	cmd.Flags().StringVarP(&o.dir, "output", "o", "", "write files into this `folder`, which is made if missing; files that are there are replaced")
	return cmd
}

// paper is one document, and where it belongs.
type paper struct{ path, text string }

func (o *exportOptions) run(ctx context.Context) error {
	if o.wantsJSON() {
		return usagef("export writes YAML; `ci api /jobs` prints the server's JSON")
	}
	papers, err := o.papers(ctx)
	if err != nil {
		return err
	}
	if o.dir != "" {
		if err := os.MkdirAll(o.dir, 0o755); err != nil {
			return usagef("the folder can't be made: %w", err)
		}
	}
	for i, p := range papers {
		if o.dir != "" {
			if err := os.MkdirAll(filepath.Join(o.dir, filepath.Dir(p.path)), 0o755); err != nil {
				return usagef("the folder can't be made: %w", err)
			}
		}
		if err := o.write(p.path, p.text, i == 0); err != nil {
			return err
		}
	}
	return nil
}

// papers are all documents: jobs, event triggers, pipelines.
func (o *exportOptions) papers(ctx context.Context) (papers []paper, err error) {
	c, err := o.client()
	if err != nil {
		return nil, err
	}
	add := func(path, text string, err error) error {
		papers = append(papers, paper{path, text})
		return err
	}
	kept := map[string]bool{}
	for j, err := range c.ListJobs(ctx) {
		if err != nil {
			return nil, err
		}
		if o.owner != "" && j.Owner != o.owner {
			continue
		}
		kept[j.Name] = true
		text, err := jobText(&j)
		if err := add(j.Name, text, err); err != nil {
			return nil, err
		}
	}
	triggers, err := eventTriggers(ctx, c)
	if err != nil {
		return nil, err
	}
	for i := range triggers {
		if t := &triggers[i]; o.owner == "" || kept[t.Job] {
			text, err := eventTriggerText(t)
			if err := add(filepath.Join(folderOf[kindEventTrigger], t.Name), text, err); err != nil {
				return nil, err
			}
		}
	}
	if o.owner != "" {
		return papers, nil // pipelines have none
	}
	return papers, o.pipelinePapers(ctx, add)
}

func (o *exportOptions) pipelinePapers(ctx context.Context, add func(path, text string, err error) error) error {
	pipelines, err := o.pipelineClient(quick)
	if err != nil {
		return err
	}
	for p, err := range pipelines.ListPipelines(ctx) {
		if err != nil {
			return err
		}
		text, err := pipelineText(&p)
		if err := add(filepath.Join(folderOf[kindPipeline], p.Name), text, err); err != nil {
			return err
		}
	}
	return nil
}
