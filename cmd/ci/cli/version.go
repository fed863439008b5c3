package cli

import (
	"context"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  ci version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.printVersion(cmd.Context()) },
	}
}

func (a *app) printVersion(ctx context.Context) error {
	if a.wantsJSON() {
		return a.printItem(ctx, map[string]string{"version": a.Version, "go": runtime.Version()})
	}
	fmt.Fprintln(a.Out, a.Version)
	return nil
}
