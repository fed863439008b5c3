package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the manual pages into a folder",
		Long:    "Write a manual page of each verb into a folder, which is made if missing: ci.1, ci-run.1 and so on. To read them: man -l DIR/ci-run.1",
		Example: "  ci man share/man/man1",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.man(cmd.Root(), args[0]) },
	}
}

func (a *app) man(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usagef("the folder can't be made: %w", err)
	}
	root.DisableAutoGenTag = true
	// The date is the epoch, so that the same program writes the same pages.
	epoch := time.Unix(0, 0).UTC()
	header := &doc.GenManHeader{Title: "CI", Section: "1", Source: "ci " + a.Version, Manual: "ci", Date: &epoch}
	if err := doc.GenManTree(root, header, dir); err != nil {
		return fmt.Errorf("the pages can't be written: %w", err)
	}
	a.note("The pages are in %s. Read them with: man -l %s/ci.1", clean(dir), clean(dir))
	return nil
}
