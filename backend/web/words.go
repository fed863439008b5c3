package web

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ci/pkg/ci"
	"ci/pkg/junit"
	"ci/pkg/terminal"
)

// words are what templates say things with.
type words struct {
	static *static
	now    func() time.Time
}

func (w words) funcs() template.FuncMap {
	return template.FuncMap{
		"asset": w.static.address, "ago": w.ago, "took": w.took, "since": w.since, "clock": clock,
		"span": terminal.Duration, "bytes": ci.Bytes, "short": short, "clean": terminal.Clean, "lines": terminal.CleanLines,
		"jobURL": jobURL, "runURL": runURL, "pipelineURL": pipelineURL, "pipelineRunURL": pipelineRunURL, "badge": badgeOf, "between": func(a, b time.Time) time.Duration { return max(b.Sub(a), 0) }, "mood": mood, "label": label, "glyph": glyph,
		"exact": exact, "cores": cores, "percent": percent, "spaced": spaced, "join": strings.Join, "plural": plural,
		"tab": newTab, "meter": newMeter, "backwards": backwards, "sourced": sourced, "multiline": multiline, "keeps": keepWords, "brief": brief, "suite": suite, "cut": firstLine, "short2": isShort, "istests": holdsTests,
		"add": func(a, b int) int { return a + b }, "sub": func(a, b int) int { return a - b }, "mul": func(a, b int) int { return a * b },
		"minus": func(a, b float64) float64 { return a - b }, "subi": func(a, b int64) int64 { return a - b },
		"float": func(n int) float64 { return float64(n) }, "dur": func(d ci.Duration) time.Duration { return time.Duration(d) },
		"attempt": func() string { return strconv.FormatInt(w.now().UnixNano(), 36) },
	}
}

func jobURL(job string) string { return root + "/jobs/" + url.PathEscape(job) }

func runURL(job string, id int64) string { return jobURL(job) + "/runs/" + strconv.FormatInt(id, 10) }

// ago is a time as people say it; the script keeps it true.
func (w words) ago(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	return element(t, "data-ago", terminal.Age(w.now(), t))
}

// since is how long something has gone on; the script lets it grow.
func (w words) since(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	return element(t, "data-since", terminal.Duration(max(w.now().Sub(t), 0)))
}

func element(t time.Time, attribute, text string) template.HTML {
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s" %s>%s</time>`, //nolint:gosec // nothing in it is foreign
		t.Format(time.RFC3339), t.Format("2006-01-02 15:04:05 UTC"), attribute, text))
}

// clock is a moment, to the second.
func clock(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	return element(t, "data-clock", t.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// took is how long a run took from its trigger, or has until now.
func (w words) took(r ci.Run) template.HTML {
	if r.Done() {
		return template.HTML(terminal.Duration(r.Times.Done.Sub(r.Times.Triggered))) //nolint:gosec // digits and units
	}
	return w.since(r.Times.Triggered)
}

func short(sha string) string { return sha[:min(len(sha), 8)] }

// mood is the class of a run's state, which gives it its colour.
func mood(r ci.Run) string {
	switch {
	case r.Outcome == ci.OutcomeSucceeded:
		return "good"
	case r.Outcome == ci.OutcomeAborted:
		return "off"
	case r.Done():
		return "bad"
	case r.Phase == ci.PhasePlanning || r.Phase == ci.PhaseQueued:
		return "wait"
	}
	return "run"
}

// label is a run's state in a word or two.
func label(r ci.Run) string {
	switch {
	case r.Outcome == ci.OutcomeTimedOut:
		return "timed out"
	case r.Done():
		return string(r.Outcome)
	case !r.AbortRequestedAt.IsZero():
		return "aborting"
	}
	return string(r.Phase)
}

// glyph tells a state to eyes that don't tell colours.
func glyph(r ci.Run) string { return glyphs[mood(r)] }

var glyphs = map[string]string{"good": "✓", "bad": "✕", "off": "–", "wait": "◷", "run": "●"}

func cores(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

func percent(part, whole float64) int {
	if whole <= 0 {
		return 0
	}
	return int(min(max(100*part/whole, 0), 100))
}

func spaced(s string) string { return strings.ReplaceAll(s, "_", " ") }

// plural counts things: "1 run", "2 runs".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// tab is an entry of the navigation.
type tab struct {
	Name, URL string
	Here      bool
}

func newTab(at, id, name, address string) tab { return tab{name, address, at == id} }

// meter is a small bar that shows how full something is.
type meter struct {
	Name    string
	Percent int
}

func newMeter(name string, percent int) meter { return meter{name, percent} }

// Mood is the meter's class.
func (m meter) Mood() string {
	switch {
	case m.Percent >= 95:
		return "bad"
	case m.Percent >= 75:
		return "wait"
	}
	return "good"
}

func backwards(runs []ci.Run) []ci.Run {
	runs = slices.Clone(runs)
	slices.Reverse(runs)
	return runs
}

// sourced says whether any of the runs is of a repository.
func sourced(runs []ci.Run) bool {
	return slices.ContainsFunc(runs, func(r ci.Run) bool { return r.BranchName != "" || r.CommitSHA != "" })
}

func multiline(s string) bool { return strings.Contains(s, "\n") }

// suite is where a test belongs.
func suite(c junit.Case) string {
	all := append(slices.Clone(c.Suites), c.Class)
	return terminal.Clean(strings.Join(slices.Compact(slices.DeleteFunc(all, func(s string) bool { return s == "" })), " › "))
}

// firstLine is what a message begins with.
func firstLine(s string) string {
	const most = 200
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if r := []rune(line); len(r) > most {
		line = string(r[:most]) + "…"
	}
	return line
}

// isShort says whether the details of a failure are shown without being asked for.
func isShort(details string) bool { return details != "" && len(details) < 1500 }

// indented is a job file for people: the script as it is, and the other keys as JSON.
func indented(doc []byte) string {
	var keys map[string]any
	if len(doc) == 0 || json.Unmarshal(doc, &keys) != nil {
		return string(doc)
	}
	script, _ := keys["script"].(string) // a job file's is one, or it would not have been taken
	delete(keys, "script")
	if len(keys) == 0 {
		return script
	}
	rest, err := json.MarshalIndent(keys, "", "  ")
	if err != nil {
		return string(doc)
	}
	return strings.TrimRight(script, "\n") + "\n\n" + string(rest)
}
