package cli

import (
	"time"

	"ci/pkg/ci"
	"ci/pkg/terminal"
)

// style is an SGR parameter; "" is plain.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	purple style = "35"
	cyan   style = "36"
)

func (s style) apply(text string) string {
	if s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// outStyle and errStyle dye a text where colour is welcome.
func (a *app) outStyle(s style, text string) string {
	if !a.OutColor {
		return text
	}
	return s.apply(text)
}

func (a *app) errStyle(s style, text string) string {
	if !a.ErrColor {
		return text
	}
	return s.apply(text)
}

// state is a run's outcome, or else its phase.
func state(r *ci.Run) string {
	if r.Done() {
		return clean(string(r.Outcome))
	}
	return clean(string(r.Phase))
}

func stateStyle(r *ci.Run) style {
	switch {
	case !r.Done():
		return yellow
	case r.Outcome == ci.OutcomeSucceeded:
		return green
	case r.Outcome == ci.OutcomeFailed:
		return red
	case r.Outcome == ci.OutcomeAborted:
		return dim
	}
	return purple
}

// age says for people how long ago t was: "now", "5m ago", "in 2h".
func age(now, t time.Time) string { return terminal.Age(now, t) }

// short prints a duration in its one or two largest units.
func short(d time.Duration) string { return terminal.Duration(d) }

// took is how long a run has taken since it was claimed; 0 before.
func took(r *ci.Run, now time.Time) time.Duration {
	if r.Times.Claimed.IsZero() {
		return 0
	}
	if !r.Times.Done.IsZero() {
		now = r.Times.Done
	}
	return max(now.Sub(r.Times.Claimed), 0)
}

// tookText is took for people; "" before the run was claimed.
func tookText(r *ci.Run, now time.Time) string {
	if d := took(r, now); d > 0 {
		return short(d)
	}
	return ""
}

// stamp is a time for programs; "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
