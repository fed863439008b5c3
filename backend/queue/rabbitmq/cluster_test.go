package rabbitmq

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/queue/queuetest/rabbitserver"
	"ci/pkg/ci"
)

// TestCluster has three servers that keep every lane three times. Runs are
// published before, while and after servers are killed, and taken at every
// time; what was confirmed comes, whichever server is gone.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := rabbitserver.StartCluster(t, 3)
	url := c.URL(t)
	vhost := url[strings.LastIndex(url, "/")+1:]
	cfg := testConfig(t, url)
	cids, agent := open(t, cfg), open(t, cfg)
	var sent, got []int64
	send := func() {
		sent = append(sent, int64(len(sent))+1)
		publishOften(t, cids, sent[len(sent)-1])
	}
	receive := func() { got = append(got, take(t, agent)) }
	for range 3 {
		send()
	}
	// The one that answers for the lane goes first: what it had confirmed is with the others.
	first, members := c.Leader(t, c.Nodes[0], vhost, queueOf(testLane))
	require.Equal(t, 3, members)
	others := slices.DeleteFunc(slices.Clone(c.Nodes), func(s *rabbitserver.Server) bool { return s == first })
	first.Down()
	receive()
	send()
	receive()
	first.Up(t)
	others[0].Down()
	send()
	receive()

	// A message may come twice: an acknowledgement is lost with the server that got it.
	for len(distinct(got)) < len(sent) {
		receive()
	}
	require.Equal(t, sent, distinct(got))
}

// publishOften publishes a run as the sweeper does: until it is confirmed.
func publishOften(t *testing.T, d *Driver, run int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		err := d.Publish(t.Context(), messages(run))
		if err != nil && ci.CodeOf(err) != ci.CodeUnavailable {
			t.Error(err)
		}
		return err == nil
	}, bound, 700*time.Millisecond)
}

func distinct(runs []int64) []int64 {
	runs = slices.Clone(runs)
	slices.Sort(runs)
	return slices.Compact(runs)
}
