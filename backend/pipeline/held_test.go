package pipeline

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// The time in which a body has to arrive ends no answer that is held for longer.
func TestHeldForLongerThanABodyTakes(t *testing.T) {
	t.Parallel()
	const bodyTime = 200 * time.Millisecond
	s := newSite(t, newWorld(), openJournal(t, ""), nil)
	s.service.bodyTime = bodyTime
	s.start()
	s.put("p", "approve('go?')")
	r := s.until(s.begin("p", nil), "asking", waiting(ci.CallApprove))
	began := time.Now()
	status, body := s.do("dev", "GET", fmt.Sprintf("/pipelines/p/runs/%d?wait=1s", r.ID), nil)
	require.Equal(t, 200, status, body)
	require.GreaterOrEqual(t, time.Since(began), 4*bodyTime)
	status, body = s.do("dev", "POST", fmt.Sprintf("/pipelines/p/runs/%d/approvals/%s", r.ID, r.Calls[0].ID), `{"approved":true}`)
	require.Equal(t, 200, status, body)
}

// A server that stops answers what it holds with the run as it is.
func TestStopEndsWhatIsHeld(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	s := newSite(t, newWorld(), openJournal(t, ""), func(c *Config) { c.Stop = stop })
	s.start()
	s.put("p", "approve('go?')")
	r := s.until(s.begin("p", nil), "asking", waiting(ci.CallApprove))
	close(stop)
	began := time.Now()
	status, body := s.do("dev", "GET", fmt.Sprintf("/pipelines/p/runs/%d?wait=1m", r.ID), nil)
	require.Equal(t, 200, status, body)
	require.Contains(t, body, `"status":"in_progress"`)
	require.Less(t, time.Since(began), 30*time.Second)
}
