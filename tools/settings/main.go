// Command settings writes the tables of settings in docs/operations.md from
// the flags of cid and ci-agent, which are their only source.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"ci/cmd/ci-agent/machine"
	"ci/cmd/cid/daemon"
)

const (
	document = "docs/operations.md"
	begin    = "<!-- settings: written by make gen from the flags -->\n"
	end      = "<!-- end of settings -->\n"
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "settings:", err)
		os.Exit(1)
	}
}

func write() error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place that begins with %q and ends with %q", document, begin, end)
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(begin)
	var code int
	table(&b, "cid", "CID_", daemon.Command(&code, io.Discard).Flags())
	table(&b, "ci-agent", "CI_AGENT_", machine.Command(&code, io.Discard).Flags())
	b.WriteString(end)
	b.Write(after)
	return os.WriteFile(document, b.Bytes(), 0o644)
}

// table writes one program's flags. Each flag's help ends with its variable,
// which has a column of its own here.
func table(b *bytes.Buffer, program, prefix string, flags *pflag.FlagSet) {
	fmt.Fprintf(b, "\n### %s\n\n| flag | variable | what it does |\n|---|---|---|\n", program)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Name == "version" {
			return
		}
		usage, _, _ := strings.Cut(f.Usage, " [$")
		variable := prefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		fmt.Fprintf(b, "| `--%s` | `%s` | %s%s |\n", f.Name, variable, strings.ReplaceAll(usage, "|", "\\|"), byDefault(f))
	})
	b.WriteString("\n")
}

// byDefault names a flag's default, where it is worth it and the same on every machine.
func byDefault(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "0", "false", "[]":
		return ""
	}
	if f.Name == "data" {
		return ""
	}
	return " (default: `" + f.DefValue + "`)"
}
