package forge

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/gh/ghtest"
	"ci/pkg/ci"
)

// burstSize is how many deliveries come at once: CI_BURST, or a number that suits a run of all tests.
func burstSize(t *testing.T) int {
	text := os.Getenv("CI_BURST")
	if text == "" {
		return 300
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// A burst of deliveries to a real cid that is killed twice in between. What it
// answered is not lost, what it could not answer is asked for again, and each
// is acted on once.
func TestBurst(t *testing.T) {
	t.Parallel()
	n := burstSize(t)
	server := ghtest.New(t)
	a := server.NewApp("my-ci")
	repo := server.NewRepo("octo/hello")
	sha := repo.Commit("octo", "main", map[string]string{"a": "1\n"})
	installation := a.Install("octo")
	cid, client := startCid(t, server, a, "--agent", "off", "--reconcile", "2s", "--log-level", "warn")
	require.NoError(t, cid.Client().Freestyle(t.Context(), "burst", "true"))
	_, _, err := client.PutEventTrigger(t.Context(), ci.EventTrigger{Name: "burst", Job: "burst", Repository: "octo/hello"}, 0)
	require.NoError(t, err)

	var senders sync.WaitGroup
	numbers := make(chan int)
	for range 8 {
		senders.Go(func() {
			for k := range numbers {
				a.Deliver("push", fmt.Appendf(nil, `{"ref":"refs/heads/b%d","before":%q,"after":%q,"repository":{"id":%d,"full_name":"octo/hello"},"sender":{"id":1,"login":"octo"},"installation":{"id":%d}}`,
					k, strings.Repeat("0", 40), sha, repo.ID, installation.ID))
			}
		})
	}
	for k := range n {
		numbers <- k
		if k == n/3 || k == 2*n/3 {
			require.NoError(t, cid.Kill())
			require.NoError(t, cid.Start(t.Context()))
		}
	}
	close(numbers)
	senders.Wait()
	branches := map[string]int{}
	require.Eventually(t, func() bool {
		clear(branches)
		for run, err := range client.ListRuns(t.Context(), ci.RunFilter{Job: "burst"}) {
			if err != nil {
				return false
			}
			branches[run.Origin.Branch]++
		}
		return len(branches) == n
	}, 2*limit, max(500, time.Duration(2*n))*time.Millisecond, "each delivery comes to a run") // to list them all is work, too
	for branch, runs := range branches {
		require.Equal(t, 1, runs, "%s was acted on once", branch)
	}
	lost := 0
	for _, d := range a.Deliveries() {
		if d.Status == 0 && d.Event == "push" {
			lost++
		}
	}
	t.Logf("%d deliveries, %d of them to nobody, two kills, %d runs", n, lost, len(branches))
}
