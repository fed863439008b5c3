package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

const composed = "script: make test\ncompose: { file: compose.yaml }\n"

// A job file's Compose file is read at the run's commit, and what it says is kept with the run.
func TestPlanningReadsComposeFiles(t *testing.T) {
	away := ci.Errorf(ci.CodeUnavailable, "the host is away")
	for name, c := range map[string]struct {
		compose string
		errs    []error
		reason  string // "" when it succeeds
	}{
		"good":     {compose: "services: { db: { image: postgres, ports: [\"5432:5432\"] } }"},
		"away":     {compose: "services: { db: { image: postgres, ports: [\"5432:5432\"] } }", errs: []error{away}},
		"bad":      {compose: "services:\n  db:\n    image: postgres\n    pid: host\n", reason: "compose.yaml:4:5: service `db`: `pid` is refused"},
		"no image": {compose: "services: { db: {} }", reason: "compose.yaml:1:13: service `db` has neither `image` nor `build`"},
		"not there": {
			errs:   []error{ci.Errorf(ci.CodeNotFound, "file compose.yaml does not exist at commit X")},
			reason: "ci/unit.yaml:2:18: `compose.file`: file compose.yaml does not exist at commit X",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := setup(t)
			w.planner.file, w.planner.more, w.planner.readErrs = composed, map[string]string{"compose.yaml": c.compose}, c.errs
			w.git()
			w.loops()
			run := w.wait(w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}).ID, ci.UntilPlanned)
			if c.reason != "" {
				require.Equal(t, ci.OutcomeError, run.Outcome)
				require.Contains(t, run.Reason, c.reason)
				return
			}
			require.Equal(t, ci.PhaseQueued, run.Phase, run.Reason)
			stored, err := w.db.GetRun(w.ctx, "unit", run.ID)
			require.NoError(t, err)
			require.Equal(t, []ci.Service{{Name: "db", Image: "postgres", Ports: []string{"5432/tcp"}}}, stored.Spec.Services)
			require.Len(t, stored.Spec.Notes, 1)
		})
	}
}
