package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

func newResult(a *app) *cobra.Command {
	cmd := parent("result", "List, fetch and read what runs saved", newResultList(a), newResultGet(a), newResultTests(a))
	cmd.Aliases = []string{"results", "artifact", "artifacts"}
	return cmd
}

func resultPiped() []column[ci.Result] {
	return []column[ci.Result]{
		{"name", func(r ci.Result) string { return r.Name }, nil},
		{"content type", func(r ci.Result) string { return r.ContentType }, nil},
		{"bytes", func(r ci.Result) string { return strconv.FormatInt(r.Size, 10) }, nil},
		{"files", func(r ci.Result) string { return strconv.Itoa(r.Files) }, nil},
		{"sha256", func(r ci.Result) string { return r.SHA256 }, nil},
		{"filename", func(r ci.Result) string { return r.Filename }, nil},
		{"kept no longer since", func(r ci.Result) string { return stamp(r.ExpiredAt) }, nil},
	}
}

func newResultList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls RUN", Aliases: []string{"list"}, Short: "List the results of a run",
		Long:    "List the results of a run; its output is called console.\n\n" + pipedColumns(resultPiped()),
		Example: "  ci result ls unit-test@latest\n  ci result ls unit-test@latest --json name,size",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.resultList(cmd.Context(), args) },
	}
	return document(a.takesRun(cmd, 0), "results", resultFields)
}

func (a *app) resultList(ctx context.Context, args []string) error {
	c, ref, _, err := a.openRun(ctx, args)
	if err != nil {
		return err
	}
	if a.wantsJSON() {
		return a.printGet(ctx, runPath(ref.Job, ref.Run)+"/results")
	}
	results, err := c.Results(ctx, ref.Job, ref.Run)
	if err != nil {
		return err
	}
	if len(results) == 0 && a.OutTTY {
		a.hint("%s has saved nothing.", ref)
		return nil
	}
	printTable(a, results, []column[ci.Result]{
		{"RESULT", func(r ci.Result) string { return r.Name }, func(ci.Result) style { return bold }},
		{"SIZE", func(r ci.Result) string { return ci.Bytes(r.Size) }, nil},
		{"FILES", func(r ci.Result) string { return strconv.Itoa(r.Files) }, nil},
		{"TYPE", func(r ci.Result) string { return r.ContentType + wentAt(r.ExpiredAt) }, func(ci.Result) style { return dim }},
	}, resultPiped())
	return nil
}
