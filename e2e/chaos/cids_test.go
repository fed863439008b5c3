package chaos

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"ci/backend/store/storetest/postgres"
	"ci/e2e/rig"
)

// sweepLease is how long the lease of the loops that run once is: three
// rounds of five seconds. leaseSlack is for a machine that does much else.
const (
	sweepLease = 15 * time.Second
	leaseSlack = 15 * time.Second
)

// TestTwoCids starts two cids at the same moment on an empty Postgres (R30):
// one migrates, the other waits, both come up. Loops that must run once are
// led by one of them, and by the other within a lease when that one is killed.
// A stream of events that breaks on one is resumed on the other.
func TestTwoCids(t *testing.T) {
	if testing.Short() {
		t.Skip("starts programs")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	bin, err := rig.Build(ctx, t.TempDir())
	require.NoError(t, err)
	database := postgres.Start(t).Database(t)
	broker, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, SyncAlways: true})
	require.NoError(t, err)
	broker.Start()
	t.Cleanup(func() { broker.Shutdown(); broker.WaitForShutdown() })
	require.True(t, broker.ReadyForConnections(time.Minute))

	dir := t.TempDir()
	var cids []*rig.Cid
	var g errgroup.Group
	for i := range 2 {
		c, err := rig.NewCid(bin, filepath.Join(dir, fmt.Sprint("cid", i)), os.Environ(), "--agent", "off", "--database", database, "--queue", broker.ClientURL(),
			"--blobs", "file:"+filepath.Join(dir, "blobs"), "--token-key", filepath.Join(dir, "token.key"), "--secret-key", filepath.Join(dir, "secret.key"))
		require.NoError(t, err)
		t.Cleanup(func() {
			if err := c.End(context.WithoutCancel(ctx)); err != nil {
				t.Error(err)
			}
		})
		cids = append(cids, c)
		g.Go(func() error { return c.Start(ctx) })
	}
	require.NoError(t, g.Wait())

	require.NoError(t, cids[0].Client().Freestyle(ctx, "waits", "true"))
	var seen []string
	events := newEvents(ctx, t, cids[0], "")
	for range 3 {
		_, err := cids[0].Client().Trigger(ctx, "waits")
		require.NoError(t, err)
		seen = append(seen, events.next(t))
	}
	events.close()
	_, err = cids[0].Client().Trigger(ctx, "waits")
	require.NoError(t, err)
	resumed := newEvents(ctx, t, cids[1], seen[0])
	for _, want := range seen[1:] {
		require.Equal(t, want, resumed.next(t), "resumed on the other cid, no event is missing or doubled")
	}
	require.NotContains(t, seen, resumed.next(t), "and it goes on")
	resumed.close()

	conn, err := pgx.Connect(ctx, database)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(ctx)) })
	leader := func() (holder string) {
		require.NoError(t, conn.QueryRow(ctx, "SELECT holder FROM leases WHERE name = 'sweeper'").Scan(&holder))
		return holder
	}
	first := leader()
	for end := time.Now().Add(sweepLease + 2*time.Second); time.Now().Before(end); {
		require.Equal(t, first, leader(), "whoever leads goes on to lead")
		pause := time.NewTimer(time.Second)
		<-pause.C
	}
	leads := 0
	if says, err := os.ReadFile(cids[1].LogFile()); err != nil || strings.Contains(string(says), "here=true") {
		require.NoError(t, err)
		leads = 1
	}
	require.NoError(t, cids[leads].Kill())
	deposed := time.Now()
	require.NoError(t, rig.Poll(ctx, sweepLease+leaseSlack, func() error {
		if leader() == first {
			return fmt.Errorf("%s leads", first)
		}
		return nil
	}))
	t.Logf("the other cid led %s after the kill", time.Since(deposed).Round(time.Millisecond))
}

// eventStream reads server-sent events.
type eventStream struct {
	response *http.Response
	lines    *bufio.Scanner
}

func newEvents(ctx context.Context, t *testing.T, c *rig.Cid, after string) *eventStream {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/events", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Accept", "text/event-stream")
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	r, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.StatusCode)
	return &eventStream{r, bufio.NewScanner(r.Body)}
}

// next is the id of the next event.
func (s *eventStream) next(t *testing.T) string {
	t.Helper()
	for s.lines.Scan() {
		if id, ok := strings.CutPrefix(s.lines.Text(), "id:"); ok {
			return strings.TrimSpace(id)
		}
	}
	t.Fatalf("the stream has ended: %v", s.lines.Err())
	return ""
}

func (s *eventStream) close() { _ = s.response.Body.Close() }
