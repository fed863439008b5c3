package web

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func chain(afters ...[]string) []call {
	var all []call
	for i, after := range afters {
		all = append(all, call{PipelineCall: ci.PipelineCall{ID: fmt.Sprint(i), Kind: ci.CallRun, Title: "job", After: after}})
	}
	return all
}

func TestGraph(t *testing.T) {
	t.Parallel()
	//     ┌ 1 ┐
	//   0 ┤   ├ 3, which knows of 0 by them
	//     └ 2 ┘
	g := drawn(chain(nil, []string{"0"}, []string{"0"}, []string{"0", "1", "2"}))
	require.Len(t, g.Nodes, 4)
	require.Len(t, g.Edges, 4, "no edge where others lead")
	require.Equal(t, g.Nodes[1].X, g.Nodes[2].X, "what waited for the same stands above each other")
	require.NotEqual(t, g.Nodes[1].Y, g.Nodes[2].Y)
	require.Greater(t, g.Nodes[3].X, g.Nodes[1].X)
	for _, n := range g.Nodes {
		require.LessOrEqual(t, n.X+nodeWidth, g.Width)
		require.LessOrEqual(t, n.Y+nodeHeight, g.Height)
	}

	calls := chain(nil, []string{"0"})
	calls[0].Kind = ci.CallPrint
	g = drawn(calls)
	require.Len(t, g.Nodes, 1, "what is printed is no part of the picture")
	require.Empty(t, g.Edges)

	g = drawn(chain(make([][]string, maxDrawn+7)...))
	require.Len(t, g.Nodes, maxDrawn)
	require.Equal(t, 7, g.More)
	at := map[[2]int]bool{}
	for _, n := range g.Nodes {
		require.False(t, at[[2]int{n.X, n.Y}], "no two at one place")
		at[[2]int{n.X, n.Y}] = true
	}
}

func TestNamesInPictures(t *testing.T) {
	t.Parallel()
	c := call{PipelineCall: ci.PipelineCall{Kind: ci.CallApprove, Title: "deploy über-long-version-1234567 to everybody?"}}
	require.Equal(t, "approve deploy über…", c.Short())
	c = call{PipelineCall: ci.PipelineCall{Kind: ci.CallRun, Title: "unit"}}
	require.Equal(t, "unit", c.Short())
}
