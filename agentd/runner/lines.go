package runner

import (
	"bytes"
	"strings"
	"unicode"
)

// lineWriter turns what a driver reports into our lines. A line that is
// rewritten in place with carriage returns counts as its last state.
type lineWriter struct {
	console *console
	part    []byte
}

// maxLine is how long a line of a driver may get, in bytes, before it is broken.
const maxLine = 4 << 10

// Write passes whole lines on and keeps the rest. It waits while the backend is
// slow: a build may print as much as a script.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.part = append(w.part, p...)
	for {
		i := bytes.IndexByte(w.part, '\n')
		if i < 0 {
			break
		}
		w.say(w.part[:i])
		w.part = w.part[i+1:]
	}
	if len(w.part) > maxLine {
		w.flush()
	}
	w.console.settle()
	return len(p), nil
}

func (w *lineWriter) flush() {
	if len(w.part) > 0 {
		w.say(w.part)
		w.part = nil
	}
}

func (w *lineWriter) say(line []byte) {
	line = bytes.TrimRight(line, "\r")
	if i := bytes.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	if len(bytes.TrimSpace(line)) > 0 {
		w.console.say("%s", line)
	}
}

// printable drops what could steer a terminal: our lines may quote others' words.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsGraphic(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, "�"))
}
