package e2e

import (
	"context"
	"errors"
	"os"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ci/e2e/rig"
	"ci/gh/ghtest"
)

// githubCommand starts a GitHub for tests; GITHUB is its address.
func githubCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, append(args, ""), 1, 1)
	ts.Setenv("GITHUB", ghtest.New(ts.Value(testKey{}).(testing.TB)).URL)
}

// confirmCommand opens the page that `ci forge setup` has named in a file, and does what a person does there.
func confirmCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	page := ""
	ts.Check(rig.Poll(context.Background(), patience, func() error {
		said, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil {
			return err
		}
		if page = regexp.MustCompile(`http://127\S+`).FindString(string(said)); page == "" {
			return errors.New("it has named no page yet: " + string(said))
		}
		return nil
	}))
	ts.Check(ghtest.Confirm(page))
}
