package logview

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/tui/feed"
)

// clock knows when lines were stored, while it is shown. The server tells of
// parts of the console; the clock asks on as the console grows, once a second at most.
type clock struct {
	on, busy bool
	times    ci.ConsoleTimes
	err      error
}

// clockFormat is a time as the gutter has it.
const clockFormat = "15:04:05"

// toggle shows the times, or hides them.
func (v *View) toggleClock() tea.Cmd {
	v.clock.on, v.clock.err = !v.clock.on, nil
	return v.askTimes()
}

// askTimes asks for times that are not known yet, unless it does already.
func (v *View) askTimes() tea.Cmd {
	c := &v.clock
	if !c.on || c.busy || c.err != nil || c.times.End() >= v.bytes {
		return nil
	}
	c.busy = true
	return v.world.Feed.ConsoleTimes(v.ref, c.times.End())
}

// timed takes what was asked for. Another view of the same run may have asked
// too, so that it may be known already.
func (v *View) timed(m feed.ConsoleTimed) {
	c := &v.clock
	c.busy = false
	if ci.CodeOf(m.Err) != ci.CodeUnavailable { // a server that is away is asked again
		c.err = m.Err
	}
	for _, t := range m.Times {
		if t.Offset == c.times.End() {
			c.times = append(c.times, t)
		}
	}
}

// clockAt is the time of a line for the gutter, as wide whether it is known or not.
func (v *View) clockAt(offset int64) string {
	at, ok := v.clock.times.Of(offset)
	if !ok || at.IsZero() {
		return strings.Repeat(" ", len(clockFormat)+1)
	}
	return v.world.Theme.Faint.Render(at.In(v.world.Now().Location()).Format(clockFormat)) + " "
}
