package queue

import (
	"slices"
	"strconv"
	"strings"

	"ci/pkg/ci"
)

// CheckLane refuses, with ci.CodeInvalid, a lane that can't be: its class is
// a name, its priority one of ci.Priorities.
func CheckLane(l ci.Lane) error {
	if err := ci.ValidateName(l.Class); err != nil {
		return ci.Errorf(ci.CodeInvalid, "the queue can't have a lane for class %q: %w", l.Class, err)
	}
	if !slices.Contains(ci.Priorities, l.Priority) {
		return ci.Errorf(ci.CodeInvalid, "the queue can't have a lane for priority %q; there are %v", l.Priority, ci.Priorities)
	}
	return nil
}

// CheckTopic wants words joined by dots. Only a subscription (wild) may hold
// wildcards: * stands for one word, and > at the end for one or more. The sign
// # is never part of a word, since other brokers read a wildcard into it.
func CheckTopic(topic string, wild bool) error {
	words := strings.Split(topic, ".")
	for i, w := range words {
		star := wild && (w == "*" || w == ">" && i == len(words)-1)
		if w == "" || strings.ContainsAny(w, "# \t\r\n\x00") || !star && strings.ContainsAny(w, "*>") {
			return ci.Errorf(ci.CodeInvalid, "%q is not a topic; topics are words joined by dots, like run.42", topic)
		}
	}
	return nil
}

// AtLeast says whether a server's version, like "2.12.3-RC.1", is no older
// than major.minor. One that can't be read is older.
func AtLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, err1 := strconv.Atoi(parts[0])
	b, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (a > major || a == major && b >= minor)
}
