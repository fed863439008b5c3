package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

func newConfigSet(a *app) *cobra.Command {
	dry := false
	cmd := &cobra.Command{
		Use:   "set KEY=VALUE…",
		Short: "Set keys of the configuration",
		Long: "Set keys of the configuration, all or none: " + strings.Join(settingNames(), ", ") + ".\n" +
			"Times are durations (1h30m), sizes are bytes, classes are NAME:CPUS:BYTES in ascending order, separated by commas. keep.*.bytes and keepTotal.*.bytes take units too (10GiB).\n\n" +
			"What is kept of done runs: retention is the bound in time for all, keep.* is what each job keeps unless it says otherwise itself, keepTotal.* what all keep together.\n" +
			"Of runs, results and console each: age since the run's end, count of runs, bytes in all; 0 is no limit. --dry-run says what would go, and sets nothing.",
		Example: "  ci config set globalTimeout=2h retention=720h\n  ci config set classes=small:1:2147483648,large:4:8589934592\n" +
			"  ci config set keep.results.age=168h keepTotal.console.bytes=100GiB --dry-run",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.configSet(cmd.Context(), args, dry) },
	}
	cmd.Flags().BoolVarP(&dry, "dry-run", "n", false, "set nothing, and say what would be kept no longer")
	return document(cmd, "", configFields)
}

func (a *app) configSet(ctx context.Context, args []string, dry bool) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	config, err := c.GetConfig(ctx)
	if err != nil {
		return err
	}
	for _, arg := range args {
		if err := change(config, arg); err != nil {
			return err
		}
	}
	if err := config.Validate(); err != nil {
		return err
	}
	if dry {
		return a.retention(ctx, config, "")
	}
	// The version that was read guards against somebody else's change in between.
	stored, err := c.PutConfig(ctx, config, config.Version)
	if err != nil {
		return err
	}
	if a.wantsJSON() {
		return a.printGet(ctx, "/config")
	}
	a.printPairs(configPairs(stored))
	return nil
}

// change carries out one KEY=VALUE.
func change(c *ci.Config, arg string) error {
	key, value, ok := strings.Cut(arg, "=")
	if !ok {
		return usagef("%q has no value; expected KEY=VALUE", arg)
	}
	for _, s := range settings() {
		if s.name != key {
			continue
		}
		if err := s.set(c, value); err != nil {
			return usagef("%s: %w", key, err)
		}
		return nil
	}
	return usagef("there is no key %q; known are %s", key, strings.Join(settingNames(), ", "))
}
