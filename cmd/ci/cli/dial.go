package cli

import (
	"time"

	"ci/pkg/api"
)

// How long a call that may be repeated is repeated while the server can't be
// reached: short for somebody who looks at the screen, long for somebody who
// waits for a run anyway and would rather sit out a restart of the server.
const (
	quick   = 5 * time.Second
	patient = 2 * time.Minute
)

// dial opens the real API.
func dial(e endpoint, agent string, retry time.Duration) (Client, error) {
	return api.New(api.Config{URL: e.URL, Token: e.Token, UserAgent: agent, Retry: retry, Trace: e.trace})
}
