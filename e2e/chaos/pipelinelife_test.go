package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
	"ci/pkg/ci"
)

// life is all that is known of a pipeline's run and that no clock and no count of
// runs decides: what is left are the same texts, whoever was killed meanwhile.
type life struct {
	Outcome, Reason string
	Calls           []string
	Children        map[string]string
	kills           int64 // that there had been at its end
}

// record notes what became of a pipeline's run, of each of its calls and of each run that has its label.
func (m *mortal) record(one *life, label string, run *ci.PipelineRun) error {
	children, err := m.children(label)
	if err != nil {
		return err
	}
	ids := []string{label, "LABEL"}
	one.Children = map[string]string{}
	for id, child := range children {
		key := strings.TrimPrefix(child.Parameters["KEY"], label+"/")
		if one.Children[key] != "" {
			return fmt.Errorf("%s was triggered twice", key)
		}
		if one.Children[key], err = m.output(&child.Run); err != nil {
			return err
		}
		ids = append(ids, fmt.Sprintf(`"id":%d,`, id), fmt.Sprintf(`"id":%q,`, key), fmt.Sprintf("%s/%d ", child.Job, id), child.Job+"/"+key+" ")
	}
	same := strings.NewReplacer(ids...)
	one.Outcome, one.Reason = string(run.Outcome), same.Replace(run.Reason+" ")
	for key, text := range one.Children {
		one.Children[key] = same.Replace(text)
	}
	for i := range run.Calls {
		call := run.Calls[i]
		if call.Run != nil {
			if _, ok := children[call.Run.Run]; !ok {
				return fmt.Errorf("call %s is about run %s, which is none of this pipeline", call.ID, call.Run)
			}
			call.Run = nil // its number; the key in its arguments stays
		}
		call.Began, call.Ended = time.Time{}, time.Time{}
		text, err := json.Marshal(call)
		if err != nil {
			return err
		}
		one.Calls = append(one.Calls, moments.ReplaceAllString(same.Replace(string(text)), "AT"))
	}
	return nil
}

var moments = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)

type keyedRun struct {
	rig.Run
	Parameters map[string]string
}

// children are the runs whose KEY has a label, by their ids.
func (m *mortal) children(label string) (map[int64]keyedRun, error) {
	found := map[int64]keyedRun{}
	return found, rig.Poll(m.ctx, 2*time.Minute, func() error {
		var all struct{ Runs []keyedRun }
		if err := m.clients[0].Call(m.ctx, http.MethodGet, "/runs?pageSize=500", nil, &all); err != nil {
			return err
		}
		for _, run := range all.Runs {
			if strings.HasPrefix(run.Parameters["KEY"], label+"/") {
				found[run.ID] = run
			}
		}
		return nil
	})
}

// output is a run's end, its console and its results.
func (m *mortal) output(run *rig.Run) (text string, err error) {
	path := fmt.Sprintf("/jobs/%s/runs/%d/results", run.Job, run.ID)
	return text, rig.Poll(m.ctx, 2*time.Minute, func() error {
		var list struct{ Results []ci.Result }
		if err := m.clients[0].Call(m.ctx, http.MethodGet, path, nil, &list); err != nil {
			return err
		}
		text = run.Outcome + ": " + run.Reason
		for _, r := range list.Results {
			a, err := m.clients[0].Do(m.ctx, http.MethodGet, path+"/"+r.Name, nil)
			if err != nil {
				return err
			}
			if a.Status != http.StatusOK {
				return fmt.Errorf("result %s: %d: %s", r.Name, a.Status, a.Body)
			}
			text += fmt.Sprintf(", %s %s %q", r.Name, r.ContentType, a.Body)
		}
		return nil
	})
}

// apart is `cid pipelines`, which may be killed and started.
type apart struct {
	*rig.Process
	url, log, path string
	args           []string
}

func newApart(t *testing.T, bin rig.Binaries, dir, url, token string) *apart {
	t.Helper()
	addr, err := rig.FreeAddr()
	require.NoError(t, err)
	file := filepath.Join(dir, "apart.token")
	require.NoError(t, os.WriteFile(file, []byte(token), 0o600))
	a := &apart{url: "http://" + addr, log: filepath.Join(dir, "apart.log"), path: bin.Path("cid")}
	a.args = []string{"pipelines", "--url", url, "--token-file", file, "--data", filepath.Join(dir, "apart"), "--listen", addr, "--log-level", "debug"}
	t.Cleanup(func() {
		if a.Process != nil {
			_ = a.Kill()
		}
	})
	return a
}

// start starts it and waits until it answers.
func (a *apart) start(ctx context.Context) (err error) {
	if a.Process, err = rig.Launch(a.log, a.path, os.Environ(), a.args...); err != nil {
		return err
	}
	return rig.Poll(ctx, time.Minute, func() error { return rig.Answers(a.url + "/readyz") })
}
