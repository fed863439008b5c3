package cli

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

func newJob(a *app) *cobra.Command {
	cmd := parent("job", "Manage jobs", newJobApply(a), newJobList(a), newJobShow(a), newJobExport(a), newJobRemove(a), newJobCheck(a), newJobSchema(a))
	cmd.Aliases = []string{"jobs"}
	return cmd
}

func jobPiped() []column[ci.Job] {
	return []column[ci.Job]{
		{"name", func(j ci.Job) string { return j.Name }, nil},
		{"kind", kindOf, nil},
		{"url", func(j ci.Job) string { return gitOf(j).URL }, nil},
		{"config path", func(j ci.Job) string { return gitOf(j).ConfigPath }, nil},
		{"version", func(j ci.Job) string { return strconv.FormatInt(j.Version, 10) }, nil},
		{"updated", func(j ci.Job) string { return stamp(j.UpdatedAt) }, nil},
	}
}

func kindOf(j ci.Job) string {
	if j.Git != nil {
		return "git"
	}
	return "freestyle"
}

func gitOf(j ci.Job) ci.Git {
	if j.Git != nil {
		return *j.Git
	}
	return ci.Git{}
}

func newJobList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List jobs by name",
		Long:    "List jobs by name.\n\n" + pipedColumns(jobPiped()),
		Example: "  ci job ls\n  ci job ls --json name,git",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.jobList(cmd.Context()) },
	}
	return document(cmd, "jobs", jobFields)
}

func (a *app) jobList(ctx context.Context) error {
	if a.wantsJSON() {
		return a.printList(ctx, "/jobs", "jobs")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	jobs, err := collect(c.ListJobs(ctx))
	if err != nil {
		return err
	}
	if len(jobs) == 0 && a.OutTTY {
		a.hint("No jobs. Make one with: ci job apply --help")
		return nil
	}
	now := a.Now()
	printTable(a, jobs, []column[ci.Job]{
		{"JOB", func(j ci.Job) string { return j.Name }, func(ci.Job) style { return bold }},
		{"KIND", kindOf, nil},
		{"UPDATED", func(j ci.Job) string { return age(now, j.UpdatedAt) }, nil},
		{"SOURCE", func(j ci.Job) string {
			if j.Git == nil {
				return ""
			}
			return j.Git.URL + " " + j.Git.ConfigPath
		}, func(ci.Job) style { return dim }},
	}, jobPiped())
	return nil
}

func newJobShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show JOB", Aliases: []string{"view", "get"}, Short: "Show one job",
		Example: "  ci job show unit-test\n  ci job show unit-test --json parameters",
		Args:    a.jobArg(),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.jobShow(cmd.Context(), args) },
	}
	return document(cmd, "", jobFields)
}

func (a *app) jobShow(ctx context.Context, args []string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	name, err := a.jobOf(ctx, c, args)
	if err != nil {
		return err
	}
	if a.wantsJSON() {
		return a.printGet(ctx, at("jobs", name))
	}
	j, err := c.GetJob(ctx, name)
	if err != nil {
		return err
	}
	pairs := []pair{
		{"job", j.Name},
		{"kind", kindOf(*j)},
		{"url", gitOf(*j).URL},
		{"config path", gitOf(*j).ConfigPath},
		{"ssh key", gitOf(*j).SSHKey},
		{"triggers", strings.Join(j.Triggers, " ")},
		{"owner", j.Owner},
		{"keep", keepText(j.Keep)},
		{"version", strconv.FormatInt(j.Version, 10)},
		{"created", stamp(j.CreatedAt)},
		{"updated", stamp(j.UpdatedAt)},
	}
	for _, p := range j.Parameters {
		what := "default " + strconv.Quote(p.Default)
		if p.Required {
			what = "required"
		}
		if p.Description != "" {
			what += ": " + p.Description
		}
		pairs = append(pairs, pair{"parameter " + clean(p.Name), what})
	}
	if len(j.Freestyle) > 0 {
		pairs = append(pairs, pair{"freestyle", string(json.RawMessage(j.Freestyle))})
	}
	a.printPairs(pairs)
	return nil
}

func newJobRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm JOB…", Aliases: []string{"remove", "delete"}, Short: "Delete jobs; their runs stay",
		Example: "  ci job rm old-test older-test",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.jobRemove(cmd.Context(), args) },
	}
}

func (a *app) jobRemove(ctx context.Context, names []string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.DeleteJob(ctx, name); err != nil {
			return err
		}
		a.note("%s deleted", clean(name))
	}
	return nil
}
