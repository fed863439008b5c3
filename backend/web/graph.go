package web

import (
	"fmt"
	"slices"
	"time"

	"ci/pkg/ci"
)

// maxDrawn is how many calls a picture shows; the list beside it has all.
const maxDrawn = 300

// Measures of the picture, in its own units, which are pixels. Three calls in a
// row have room beside the list.
const (
	nodeWidth, nodeHeight = 168, 40
	gapX, gapY            = 36, 14
	margin                = 6
)

// graph is a run's calls as a picture: each stands to the right of what it waited for.
type graph struct {
	Nodes         []node
	Edges         []string // the paths of SVG that join them
	Width, Height int
	More          int // calls that are not drawn
}

// node is a call in the picture.
type node struct {
	call
	X, Y   int
	column int
	row    int
}

// MidY is the middle of the node, where its edges end.
func (n node) MidY() int { return n.Y + nodeHeight/2 }

// drawn places the calls; prints are no part of the picture.
func drawn(calls []call) graph {
	g := graph{}
	at := map[string]int{}
	taken := map[[2]int]bool{}
	for _, c := range calls {
		if c.Kind == ci.CallPrint {
			continue
		}
		if len(g.Nodes) == maxDrawn {
			g.More++
			continue
		}
		n := node{call: c}
		for i, before := range c.After {
			if b, ok := at[before]; ok {
				n.column = max(n.column, g.Nodes[b].column+1)
				if row := g.Nodes[b].row; i == 0 || row < n.row {
					n.row = row
				}
			}
		}
		for taken[[2]int{n.column, n.row}] {
			n.row++
		}
		taken[[2]int{n.column, n.row}] = true
		n.X, n.Y = margin+n.column*(nodeWidth+gapX), margin+n.row*(nodeHeight+gapY)
		g.Width, g.Height = max(g.Width, n.X+nodeWidth+margin), max(g.Height, n.Y+nodeHeight+margin)
		at[c.ID] = len(g.Nodes)
		g.Nodes = append(g.Nodes, n)
	}
	g.join(at)
	return g
}

// join draws the edges. One that others lead around to is left out: it would only cross them.
func (g *graph) join(at map[string]int) {
	for _, n := range g.Nodes {
		for _, before := range n.After {
			b, ok := at[before]
			if !ok || g.detour(n, before, at) {
				continue
			}
			from := g.Nodes[b]
			x1, x2 := from.X+nodeWidth, n.X
			bend := (x2 - x1) / 2
			g.Edges = append(g.Edges, fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, from.MidY(), x1+bend, from.MidY(), x2-bend, n.MidY(), x2, n.MidY()))
		}
	}
}

// detour says whether another call that n waited for has itself waited for before.
func (g *graph) detour(n node, before string, at map[string]int) bool {
	return slices.ContainsFunc(n.After, func(other string) bool {
		i, ok := at[other]
		return ok && other != before && slices.Contains(g.Nodes[i].After, before)
	})
}

// call is a call of a program as people see it.
type call struct {
	ci.PipelineCall
	Mood, Glyph, Label string
	// URL is the page of the run that it triggered; "" for none.
	URL string
}

func callsOf(r *ci.PipelineRun) []call {
	all := make([]call, len(r.Calls))
	for i, c := range r.Calls {
		all[i] = call{PipelineCall: c, Mood: moodOfCall(c), Label: labelOfCall(c)}
		all[i].Glyph = glyphs[all[i].Mood]
		if c.Run != nil {
			all[i].URL = runURL(c.Run.Job, c.Run.Run)
		}
	}
	return all
}

// Took is how long it took; 0 while it goes on.
func (c call) Took() time.Duration {
	if !c.Done {
		return 0
	}
	return max(c.Ended.Sub(c.Began), 0)
}

// Asks says whether the call waits for somebody's yes or no.
func (c call) Asks() bool { return c.Kind == ci.CallApprove && !c.Done }

// Name is the call in a few words.
func (c call) Name() string {
	if c.Kind == ci.CallRun || c.Kind == ci.CallPrint {
		return c.Title
	}
	return string(c.Kind) + " " + c.Title
}

// Short is the name as far as it has room in the picture.
func (c call) Short() string {
	const most = 20
	name := []rune(firstLine(c.Name()))
	if len(name) > most {
		return string(name[:most-1]) + "…"
	}
	return string(name)
}

func moodOfCall(c ci.PipelineCall) string {
	switch {
	case c.Done && c.Outcome == ci.OutcomeSucceeded:
		return "good"
	case c.Done && c.Outcome == ci.OutcomeAborted:
		return "off"
	case c.Done:
		return "bad"
	case c.Kind == ci.CallRun && c.Run != nil:
		return "run"
	}
	return "wait"
}

func labelOfCall(c ci.PipelineCall) string {
	switch {
	case c.Done && c.Reused:
		return string(c.Outcome) + ", reused"
	case c.Done:
		return spaced(string(c.Outcome))
	case c.Kind == ci.CallApprove:
		return "asks"
	case c.Kind == ci.CallRun && c.Run != nil:
		return "runs"
	}
	return "waits"
}
