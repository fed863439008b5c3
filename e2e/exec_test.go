package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"ci/e2e/rig"
)

// execCleanCommand waits until nothing is in Docker of what `ci exec` has made
// in this scenario; negated, there is something.
func execCleanCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, false, args, 0, 1)
	state := filepath.Join(ts.Getenv("HOME"), ".local", "state", "ci", "exec")
	if neg {
		all, err := execObjects(state)
		ts.Check(err)
		if len(all) == 0 {
			ts.Fatalf("nothing is there")
		}
		return
	}
	ts.Check(rig.Poll(context.Background(), patience, func() error {
		all, err := execObjects(state)
		if err == nil && len(all) > 0 {
			err = fmt.Errorf("still there: %v", all)
		}
		return err
	}))
}

// execObjects lists what is in Docker under the names that a folder keeps.
func execObjects(state string) ([]string, error) {
	id, err := os.ReadFile(filepath.Join(state, "id"))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d, err := rig.OpenDocker()
	if err != nil {
		return nil, err
	}
	var all []string
	for slot := range 3 {
		some, err := d.Objects(context.Background(), fmt.Sprintf("ci.agent=%s-%d", strings.TrimSpace(string(id)), slot))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}
