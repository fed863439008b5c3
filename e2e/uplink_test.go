package e2e

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"ci/agentd/uplinktest"
	"ci/backend"
	"ci/backend/engine"
	"ci/backend/queue/nats"
	"ci/backend/store"
	"ci/backend/store/storetest/postgres"
	"ci/e2e/rig"
	"ci/pkg/api"
	"ci/pkg/ci"
)

// leaseOfFleet is short, since a test waits for its end.
const leaseOfFleet = 30 * time.Second

// fleet is a cid without an agent, and what an agent with direct access needs.
type fleet struct {
	cid                    *rig.Cid
	database, queue, blobs string
	secretKey              string
	admin                  *api.Client
}

// newFleet starts a cid that has its database and its queue outside of itself.
func newFleet(t testing.TB, bin rig.Binaries, database string, flags ...string) *fleet {
	t.Helper()
	dir := t.TempDir()
	n, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(dir, "nats"), NoSigs: true, NoLog: true, SyncAlways: true,
	})
	require.NoError(t, err)
	n.Start()
	t.Cleanup(func() { n.Shutdown(); n.WaitForShutdown() })
	require.True(t, n.ReadyForConnections(patience))
	f := &fleet{database: database, queue: n.ClientURL(), blobs: "file:" + filepath.Join(dir, "blobs"), secretKey: filepath.Join(dir, "secret.key")}
	if database == "" {
		f.database = "sqlite:" + filepath.Join(dir, "ci.db")
	}
	f.cid, err = rig.NewCid(bin, filepath.Join(dir, "cid"), os.Environ(), append([]string{
		"--agent", "off", "--database", f.database, "--queue", f.queue, "--blobs", f.blobs, "--secret-key", f.secretKey, "--lease", leaseOfFleet.String(),
	}, flags...)...)
	require.NoError(t, err)
	require.NoError(t, f.cid.Start(t.Context()))
	t.Cleanup(func() {
		if err := f.cid.End(context.Background()); err != nil {
			t.Error(err)
		}
	})
	f.admin, err = api.New(api.Config{URL: f.cid.URL, Token: f.cid.Token})
	require.NoError(t, err)
	return f
}

// broker is a connection to the fleet's queue of the test's own.
func (f *fleet) broker(t testing.TB) *nats.Driver {
	t.Helper()
	q, err := nats.Open(nats.Config{URL: f.queue, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.Close()) })
	return q
}

// direct is the side of agents with access to the database.
func (f *fleet) direct(t testing.TB) func(testing.TB, string) uplinktest.Side {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), f.database, log)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	q := f.broker(t)
	blobs, err := backend.OpenBlobs(f.blobs, "")
	require.NoError(t, err)
	secrets, err := backend.OpenSecrets(t.Context(), backend.SecretsConfig{Key: f.secretKey}, db, log)
	require.NoError(t, err)
	parts := engine.Config{Store: db, Queue: q, Bus: q.Bus(), Blobs: blobs, Log: log, URL: f.cid.URL, Lease: leaseOfFleet}
	secrets.Give(&parts)
	e, err := engine.New(parts)
	require.NoError(t, err)
	return func(testing.TB, string) uplinktest.Side {
		return uplinktest.Side{Uplink: e, Queue: q, Bus: q.Bus(), Disown: e.Disown}
	}
}

// token mints the token of one agent.
func (f *fleet) token(t testing.TB, agent string) string {
	t.Helper()
	bearer, _, err := f.admin.CreateToken(t.Context(), ci.Token{Name: agent, Role: ci.RoleAgent})
	require.NoError(t, err)
	return bearer
}

// agent is the client of one agent.
func (f *fleet) agent(t testing.TB, agent string, transport http.RoundTripper) *api.Agent {
	t.Helper()
	c, err := api.New(api.Config{URL: f.cid.URL, Token: f.token(t, agent), HTTP: &http.Client{Transport: transport}})
	require.NoError(t, err)
	return c.Agent()
}

// TestUplink holds both ways from an agent to its backend to one suite.
func TestUplink(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts real servers")
	}
	t.Parallel()
	bin, err := rig.Build(t.Context(), t.TempDir())
	require.NoError(t, err)
	server := postgres.Start(t)
	for name, database := range map[string]func() string{
		"sqlite":   func() string { return "" },
		"postgres": func() string { return server.Database(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for leases to end, and with them for most of its time
			t.Run("direct", func(t *testing.T) {
				t.Parallel()
				f := newFleet(t, bin, database())
				uplinktest.Run(t, uplinktest.World{Admin: f.admin, Depth: f.broker(t).Depth, Open: f.direct(t)})
			})
			t.Run("connect", func(t *testing.T) {
				t.Parallel()
				f := newFleet(t, bin, database())
				uplinktest.Run(t, uplinktest.World{Admin: f.admin, Depth: f.broker(t).Depth, Open: func(t testing.TB, agent string) uplinktest.Side {
					a := f.agent(t, agent, http.DefaultTransport)
					return uplinktest.Side{Uplink: a, Queue: a, Bus: a, Disown: a.Disown}
				}})
			})
		})
	}
}

// deaf loses the answers of some calls, as a network does.
type deaf struct {
	next http.RoundTripper
	path string
	lose atomic.Int32 // how many answers more
}

// RoundTrip has the call carried out, and its answer lost.
func (d *deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.next.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, d.path) || d.lose.Add(-1) < 0 {
		return resp, err
	}
	_ = resp.Body.Close()
	return nil, context.DeadlineExceeded
}

// TestLostAnswerOfATake: R3. The run that was claimed by a call whose answer got
// lost comes with the next one, on whichever cid.
func TestLostAnswerOfATake(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts real servers")
	}
	t.Parallel()
	bin, err := rig.Build(t.Context(), t.TempDir())
	require.NoError(t, err)
	f := newFleet(t, bin, "")
	_, _, err = f.admin.PutJob(t.Context(), &ci.Job{Name: "hello", Freestyle: []byte(`{"script":"true"}`)}, 0)
	require.NoError(t, err)
	net := &deaf{next: http.DefaultTransport, path: "/TakeRun"}
	a := f.agent(t, "agent-"+rig.Random(), net)
	lanes := []ci.Lane{{Class: "small", Priority: ci.PriorityNormal}}
	seen := map[int64]bool{}
	for range 3 {
		run, err := f.admin.Trigger(t.Context(), ci.Trigger{Job: "hello"})
		require.NoError(t, err)
		net.lose.Store(2)
		var d ci.Delivery
		for d.Taken == nil {
			if d, err = a.Pull(t.Context(), lanes); err != nil {
				require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
			}
		}
		require.Equal(t, run.ID, d.Run)
		require.False(t, seen[d.Run])
		seen[d.Run] = true
		require.NoError(t, a.Started(t.Context(), d.Taken.Claim))
	}
}

// TestRevokedWhileItWaits: an agent whose token is revoked while its call is
// held gets no run out of it.
func TestRevokedWhileItWaits(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts real servers")
	}
	t.Parallel()
	bin, err := rig.Build(t.Context(), t.TempDir())
	require.NoError(t, err)
	f := newFleet(t, bin, "")
	_, _, err = f.admin.PutJob(t.Context(), &ci.Job{Name: "hello", Freestyle: []byte(`{"script":"true"}`)}, 0)
	require.NoError(t, err)
	bearer, token, err := f.admin.CreateToken(t.Context(), ci.Token{Name: "builder", Role: ci.RoleAgent})
	require.NoError(t, err)
	require.Equal(t, "builder", token.Agent)
	c, err := api.New(api.Config{URL: f.cid.URL, Token: bearer})
	require.NoError(t, err)
	_, err = c.Agent().Terms(t.Context())
	require.NoError(t, err)
	pulled := make(chan error, 1)
	go func() {
		_, err := c.Agent().Pull(t.Context(), []ci.Lane{{Class: "small", Priority: ci.PriorityNormal}})
		pulled <- err
	}()
	require.NoError(t, f.admin.RevokeToken(t.Context(), token.ID))
	run, err := f.admin.Trigger(t.Context(), ci.Trigger{Job: "hello"})
	require.NoError(t, err)
	require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(<-pulled))
	_, err = c.Agent().Terms(t.Context())
	require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(err), "the next call")
	run, err = f.admin.GetRun(t.Context(), "hello", run.ID)
	require.NoError(t, err)
	require.Equal(t, ci.PhaseQueued, run.Phase)
}
