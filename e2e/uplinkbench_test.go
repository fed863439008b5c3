package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"ci/agentd/uplinktest"
	"ci/e2e/rig"
	"ci/pkg/ci"
)

// BenchmarkUplinkConsole sends a million lines of console each way, in the
// pieces of the runner, and compares what is stored by its SHA-256. It prints
// how many times as long the way over a cid takes.
func BenchmarkUplinkConsole(b *testing.B) {
	bin, err := rig.Build(b.Context(), b.TempDir())
	require.NoError(b, err)
	f := newFleet(b, bin, "")
	_, _, err = f.admin.PutJob(b.Context(), &ci.Job{Name: "lines", Freestyle: []byte(`{"script":"true"}`)}, 0)
	require.NoError(b, err)
	var text bytes.Buffer
	for i := range 1_000_000 {
		fmt.Fprintf(&text, "line %07d of what a test run prints, as long as such lines are in practice: %x\n", i, uint32(i)*2654435761)
	}
	sum := sha256.Sum256(text.Bytes())
	end := ci.End{Outcome: ci.OutcomeSucceeded, Reason: "It ended.", Console: ci.Console{Bytes: int64(text.Len()), SHA256: hex.EncodeToString(sum[:])}}
	code := 0
	end.ExitCode, end.ScriptStarted = &code, true
	took := map[string]time.Duration{}
	for b.Loop() {
		for name, open := range map[string]func(agent string) uplinktest.Side{
			"direct": func(agent string) uplinktest.Side { return f.direct(b)(b, agent) },
			"connect": func(agent string) uplinktest.Side {
				a := f.agent(b, agent, http.DefaultTransport)
				return uplinktest.Side{Uplink: a, Queue: a, Bus: a, Disown: a.Disown}
			},
		} {
			agent := "agent-" + rig.Random()
			side := open(agent)
			run, err := f.admin.Trigger(b.Context(), ci.Trigger{Job: "lines"})
			require.NoError(b, err)
			c := ci.Claim{Run: run.ID, Agent: agent, ID: uuid.NewString()}
			_, err = side.Claim(b.Context(), c)
			require.NoError(b, err)
			require.NoError(b, side.Started(b.Context(), c))
			began := time.Now()
			for at := int64(0); at < int64(text.Len()); {
				at, err = side.AppendConsole(b.Context(), c, at, text.Bytes()[at:min(at+1<<20, int64(text.Len()))])
				require.NoError(b, err)
			}
			took[name] += time.Since(began)
			require.NoError(b, side.Finish(b.Context(), c, end))
			body, err := f.admin.Console(b.Context(), "lines", run.ID, 0, false)
			require.NoError(b, err)
			stored := sha256.New()
			_, err = io.Copy(stored, body)
			require.NoError(b, err)
			require.NoError(b, body.Close())
			require.Equal(b, end.Console.SHA256, hex.EncodeToString(stored.Sum(nil)))
		}
	}
	b.ReportMetric(float64(text.Len())/(1<<20), "MiB")
	for name, d := range took {
		b.ReportMetric(d.Seconds()/float64(b.N), "s/"+name)
	}
	b.ReportMetric(float64(took["connect"])/float64(took["direct"]), "×direct")
}
