package machine

import (
	"errors"
	"strings"

	"ci/pkg/ci"
)

// Explain is an error as the one who starts a program should see it: the
// sentence, and the cause that the wire would keep to itself.
func Explain(err error) string {
	text := err.Error()
	var e *ci.Error
	for cause := err; errors.As(cause, &e) && e.Cause != nil; cause = e.Cause {
		if more := e.Cause.Error(); !strings.Contains(text, more) {
			text += ": " + more
		}
	}
	return text
}
