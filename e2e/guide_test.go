package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// shellBlock is a block of shell script in a Markdown text.
var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// guideCommand makes files of the scripts that a guide shows, so that what it shows is what works.
func guideCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	text, err := os.ReadFile(filepath.Join(moduleRoot, "docs", "guides", args[0]))
	ts.Check(err)
	scripts := shellBlock.FindAllSubmatch(text, -1)
	if len(scripts) == 0 {
		ts.Fatalf("%s has no scripts", args[0])
	}
	for i, s := range scripts {
		ts.Check(os.WriteFile(ts.MkAbs(fmt.Sprintf("script%d", i+1)), s[1], 0o644))
	}
}

// moduleRoot is the module's folder, as tests of this package see it.
const moduleRoot = ".."

func variableCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2)
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}
