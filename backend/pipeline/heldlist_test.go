package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// stateAt is the state of the list at a path.
func (s *site) stateAt(path string) string {
	s.t.Helper()
	status, body := s.do("guest", "GET", path, nil)
	require.Equal(s.t, 200, status, body)
	var page struct{ State string }
	require.NoError(s.t, json.Unmarshal([]byte(body), &page))
	require.NotEmpty(s.t, page.State)
	return page.State
}

// A list is held until something on it has changed, whichever process has changed it.
func TestListIsHeld(t *testing.T) {
	t.Parallel()
	j := openJournal(t, "")
	w := newWorld()
	works, asked := newSite(t, w, j, nil), newSite(t, w, j, nil)
	works.start()
	works.put("p", "approve('go?')")
	works.put("q", "approve('go?')")
	c := asked.client("guest")

	runs, state, err := c.WaitPipelineRuns(t.Context(), "p", 10, "")
	require.NoError(t, err)
	require.Empty(t, runs)
	other := asked.stateAt("/pipelines/q/runs")
	r := works.until(works.begin("p", nil), "asking", waiting(ci.CallApprove))
	runs, begun, err := c.WaitPipelineRuns(t.Context(), "p", 10, state)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.NotEqual(t, state, begun)
	require.Equal(t, other, asked.stateAt("/pipelines/q/runs"), "the other list is as it was")
	require.NotEqual(t, other, asked.stateAt("/pipelines/-/runs?pageSize=3"), "the list of all is not")

	// The answer to a question ends the run, and so each answer that is held: at one process and at the other.
	var held sync.WaitGroup
	for _, s := range []*site{works, asked} {
		_, at, err := s.client("guest").WaitPipelineRuns(t.Context(), "", 10, "")
		require.NoError(t, err)
		held.Go(func() {
			for {
				runs, next, err := s.client("guest").WaitPipelineRuns(t.Context(), "", 10, at)
				if err != nil || runs[0].Outcome == ci.OutcomeSucceeded {
					if err != nil {
						t.Error(err)
					}
					return
				}
				at = next
			}
		})
	}
	status, body := asked.do("dev", "POST", "/pipelines/p/runs/1/approvals/"+r.Calls[0].ID, `{"approved":true}`)
	require.Equal(t, 200, status, body)
	held.Wait()
	works.done(r)
	require.Equal(t, asked.stateAt("/pipelines/-/runs"), works.stateAt("/pipelines/-/runs"), "all say it alike")
}

func TestListIsHeldForAWhile(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	s := newSite(t, newWorld(), openJournal(t, ""), func(c *Config) { c.Stop = stop })
	at := "/pipelines/-/runs"
	state := s.stateAt(at)
	for query, says := range map[string]string{
		"?wait=1s": "give that one's state as since", "?wait=soon&since=x": "is no duration", "?wait=-1s&since=x": "is no duration", "?wait=1s&since=x&pageToken=7": "no pageToken",
	} {
		status, body := s.do("guest", "GET", at+query, nil)
		require.Equal(t, 400, status, query)
		require.Contains(t, body, says)
	}
	status, body := s.do("guest", "GET", at+"?wait=1h&since=another", nil)
	require.Equal(t, 200, status, body)
	begun := time.Now()
	status, body = s.do("guest", "GET", at+"?wait=1s&since="+state, nil)
	require.Equal(t, 200, status, body)
	require.Contains(t, body, state)
	require.GreaterOrEqual(t, time.Since(begun), time.Second)

	// A reader that goes gives its place back, and so does one that is answered.
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+at+"?wait=1m&since="+state, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer guest")
	gone := make(chan error)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			err = errors.Join(errors.New("it was answered"), resp.Body.Close())
		}
		gone <- err
	}()
	require.Eventually(t, func() bool { return len(s.service.held) == 1 }, time.Minute, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-gone, context.Canceled)
	require.Eventually(t, func() bool { return len(s.service.held) == 0 }, time.Minute, time.Millisecond)
	require.Empty(t, s.service.lists.looks)

	// When all places are taken others are told so, and a server that stops holds nothing.
	for range cap(s.service.held) {
		s.service.held <- struct{}{}
	}
	status, body = s.do("guest", "GET", at+"?wait=1s&since="+state, nil)
	require.Equal(t, 429, status, body)
	<-s.service.held
	close(stop)
	status, body = s.do("guest", "GET", at+"?wait=1m&since="+state, nil)
	require.Equal(t, 200, status, body)
}

// However many wait for one thing, it is looked at once in each glance.
func TestLooksAreShared(t *testing.T) {
	t.Parallel()
	var s shared[string, int64]
	var asked atomic.Int64
	ask := func(context.Context) (int64, error) { return asked.Add(1), nil }
	begun := time.Now()
	l, leave := s.join("x") // what nobody waits for any more is forgotten
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			l, leave := s.join("x")
			defer leave()
			_, err := l.now(t.Context(), begun, ask)
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Equal(t, int64(1), asked.Load())
	_, err := l.now(t.Context(), time.Now(), ask)
	require.NoError(t, err)
	require.Equal(t, int64(2), asked.Load(), "what was seen before is not enough")
	_, err = l.now(t.Context(), time.Now(), func(context.Context) (int64, error) { return 0, context.Canceled })
	require.ErrorIs(t, err, context.Canceled)
	seen, err := l.now(t.Context(), time.Now(), ask)
	require.NoError(t, err, "an error is of one caller alone")
	require.Equal(t, int64(3), seen)
	leave()
	require.Empty(t, s.looks)
}
