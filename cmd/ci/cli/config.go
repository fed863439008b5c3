package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

func newConfig(a *app) *cobra.Command {
	return parent("config", "Read and set what the whole system is limited to", newConfigGet(a), newConfigSet(a))
}

func newConfigGet(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get [KEY]", Aliases: []string{"ls", "show"}, Short: "Print the configuration, or one key of it",
		Long:    "Print the configuration, or one key of it. In a pipe each line is a key, a tab and a value; with KEY the value alone.",
		Example: "  ci config get\n  ci config get globalTimeout",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.configGet(cmd.Context(), args) },
	}
	return document(cmd, "", configFields)
}

func (a *app) configGet(ctx context.Context, args []string) error {
	if a.wantsJSON() && len(args) == 0 {
		return a.printGet(ctx, "/config")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	config, err := c.GetConfig(ctx)
	if err != nil {
		return err
	}
	pairs := configPairs(config)
	if len(args) == 0 {
		a.printPairs(pairs)
		return nil
	}
	for _, p := range pairs {
		if p.name != args[0] {
			continue
		}
		if a.wantsJSON() {
			doc, err := json.Marshal(map[string]string{p.name: p.value})
			if err != nil {
				return err
			}
			return a.printJSON(ctx, doc)
		}
		fmt.Fprintln(a.Out, clean(p.value))
		return nil
	}
	return usagef("there is no key %q; known are %s", args[0], strings.Join(settingNames(), ", "))
}

// settings are the keys that `config set` knows: how each is shown, and how it
// is read into a configuration.
func settings() []setting {
	duration := func(at func(*ci.Config) *ci.Duration) setting {
		return setting{
			get: func(c *ci.Config) string { return time.Duration(*at(c)).String() },
			set: func(c *ci.Config, s string) error { return at(c).UnmarshalText([]byte(s)) },
		}
	}
	number := func(get func(*ci.Config) int64, set func(*ci.Config, int64)) setting {
		return setting{
			get: func(c *ci.Config) string { return strconv.FormatInt(get(c), 10) },
			set: func(c *ci.Config, s string) error {
				n, err := strconv.ParseInt(s, 10, 64)
				set(c, n)
				return err
			},
		}
	}
	named := func(name string, s setting) setting { s.name = name; return s }
	list := []setting{
		named("globalTimeout", duration(func(c *ci.Config) *ci.Duration { return &c.GlobalTimeout })),
		named("abortGrace", duration(func(c *ci.Config) *ci.Duration { return &c.AbortGrace })),
		named("retention", duration(func(c *ci.Config) *ci.Duration { return &c.Retention })),
		named("agentRetention", duration(func(c *ci.Config) *ci.Duration { return &c.AgentRetention })),
		named("maxConsole", number(func(c *ci.Config) int64 { return c.MaxConsole }, func(c *ci.Config, n int64) { c.MaxConsole = n })),
		named("maxResult", number(func(c *ci.Config) int64 { return c.MaxResult }, func(c *ci.Config, n int64) { c.MaxResult = n })),
		named("maxResultFiles", number(func(c *ci.Config) int64 { return int64(c.MaxResultFiles) }, func(c *ci.Config, n int64) { c.MaxResultFiles = int(n) })),
		{"classes", showClasses, readClasses},
	}
	list = append(list, keepSettings("keep", func(c *ci.Config) **ci.Keep { return &c.Keep }, true)...)
	return append(list, keepSettings("keepTotal", func(c *ci.Config) **ci.Keep { return &c.KeepTotal }, false)...)
}

type setting struct {
	name string
	get  func(*ci.Config) string
	set  func(*ci.Config, string) error
}

func settingNames() []string {
	var names []string
	for _, s := range settings() {
		names = append(names, s.name)
	}
	return names
}

func configPairs(c *ci.Config) []pair {
	var pairs []pair
	for _, s := range settings() {
		pairs = append(pairs, pair{s.name, s.get(c)})
	}
	return pairs
}

// showClasses prints classes as "small:1:2147483648,…": name, cores, bytes.
func showClasses(c *ci.Config) string {
	parts := make([]string, len(c.Classes))
	for i, q := range c.Classes {
		parts[i] = fmt.Sprintf("%s:%g:%d", q.Name, q.CPUs, q.Memory)
	}
	return strings.Join(parts, ",")
}

func readClasses(c *ci.Config, s string) error {
	c.Classes = nil
	for _, part := range strings.Split(s, ",") {
		fields := strings.Split(strings.TrimSpace(part), ":")
		if len(fields) != 3 {
			return fmt.Errorf("%q is not NAME:CPUS:BYTES", part)
		}
		cpus, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return err
		}
		memory, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return err
		}
		c.Classes = append(c.Classes, ci.Quota{Name: fields[0], CPUs: cpus, Memory: memory})
	}
	return nil
}
