package terminal

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Age says for people how long ago t was: "now", "5m ago", "in 2h".
func Age(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := now.Sub(t)
	switch {
	case d < -time.Second:
		return "in " + Duration(-d)
	case d < 5*time.Second:
		return "now"
	}
	return Duration(d) + " ago"
}

// Duration prints a duration in its one or two largest units.
func Duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// FileName is how a file from elsewhere is called within a folder of ours: name,
// without any way out of the folder, never hidden, and harmless when it is
// listed; else fallback, which must be all of that.
func FileName(name, fallback string) string {
	name = filepath.Base(filepath.Clean("/" + strings.ReplaceAll(name, `\`, "/")))
	if name == "/" || strings.HasPrefix(name, ".") || name != Clean(name) {
		return fallback
	}
	return name
}
