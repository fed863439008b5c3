package daemon

import (
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"ci/cmd/ci-agent/machine"
)

// dashboard is what the test wants to know of a dashboard of Grafana.
type dashboard struct {
	Title      string
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr, LegendFormat string }
	}
}

var (
	described  = regexp.MustCompile(`fqName: "([a-z_0-9]+)".*variableLabels: \{([^}]*)\}`)
	metricName = regexp.MustCompile(`\b(?:ci|go|process)_[a-z0-9_]+\b`)
	labelNames = regexp.MustCompile(`(?:by|without) \(([^)]*)\)|([a-z_]+)(?:=~|!=|!~|=)"|\{\{([a-z_]+)\}\}`)
)

// exported are the metrics that a cid has, each with its labels.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	o := &options{data: t.TempDir(), listen: "127.0.0.1:0"}
	reg := newRegistry()
	traces, err := machine.OpenTraces(t.Context(), "http://127.0.0.1:1", "cid", slog.New(slog.DiscardHandler), reg)
	require.NoError(t, err)
	b, err := o.open(t.Context(), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, slog.New(slog.DiscardHandler), reg, traces)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, b.Close())
		require.NoError(t, traces.Close())
	})
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		reg.Describe(descs)
	}()
	all := map[string][]string{}
	for d := range descs {
		m := described.FindStringSubmatch(d.String())
		require.NotNil(t, m, d.String())
		all[m[1]] = strings.Split(m[2], ",")
	}
	return all
}

// TestDashboard: every expression of the dashboard is of metrics that a cid
// exports, with labels that they have, and no metric of our own is left out.
func TestDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../deploy/grafana/ci.json")
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(text, &d))
	known := exported(t)
	require.Contains(t, known, "ci_runs_done_total")
	require.Contains(t, known, "go_goroutines")
	used, ids := map[string]bool{}, map[int]bool{}
	check := func(title, expr, legend string) {
		labels := []string{"instance", "job", "le"}
		names := metricName.FindAllString(expr, -1)
		require.NotEmpty(t, names, "%s: %s", title, expr)
		for _, name := range names {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, is := strings.CutSuffix(name, suffix); is && known[base] != nil {
					name = base
				}
			}
			require.Contains(t, known, name, "%s: no cid exports it", title)
			used[name] = true
			labels = append(labels, known[name]...)
		}
		for _, m := range labelNames.FindAllStringSubmatch(expr+legend, -1) {
			for label := range strings.SplitSeq(m[1]+m[2]+m[3], ",") {
				require.True(t, slices.Contains(labels, strings.TrimSpace(label)), "%s: %s has no label %q, only %v", title, names, label, labels)
			}
		}
	}
	for _, p := range d.Panels {
		require.False(t, ids[p.ID], "%s has the id of another panel", p.Title)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		require.Equal(t, p.Type == "row", len(p.Targets) == 0, p.Title)
		for _, target := range p.Targets {
			check(p.Title, target.Expr, target.LegendFormat)
		}
	}
	for _, v := range d.Templating.List {
		if v.Definition != "" {
			check(v.Name, strings.TrimSuffix(strings.Split(v.Definition, ",")[0], ")"), "")
		}
	}
	for name := range known {
		require.True(t, used[name] || !strings.HasPrefix(name, "ci_"), "%s is on no panel", name)
	}
}
