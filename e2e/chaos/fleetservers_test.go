package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"

	"ci/backend/blob/blobtest/s3server"
	"ci/backend/store/storetest/postgres"
	"ci/e2e/rig"
)

// servers starts what cids and agents stand on, and returns the flags that name it.
func (f *fleet) servers(dir string) []string {
	t, ctx := f.t, f.ctx
	t.Helper()
	var err error
	f.recorder, err = rig.NewRecorder()
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.recorder.Close() })
	f.net, err = rig.NewNetns(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.net.Close()) })
	f.postgres = f.postgresOnItsDisk()
	f.database = f.postgres.Database(t)
	f.db = f.inside("unix", f.postgres.Socket(), f.slow.hold)
	f.cidDBs = [2]*rig.Proxy{f.proxy("127.0.0.1", "unix", f.postgres.Socket(), nil), f.proxy("127.0.0.1", "unix", f.postgres.Socket(), nil)}
	f.nats, err = rig.NewNATSCluster(ctx, dir, f.net.Host)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.nats.Close() })
	require.NoError(t, f.nats.Ready(ctx))
	f.objects = s3server.Start(t)
	f.objects.Bucket(t, "fleet")
	f.s3 = f.proxy("127.0.0.1", "tcp", f.objects.Endpoint, f.slowS3.hold)
	f.agentS3 = f.inside("tcp", f.s3.Addr, nil)
	for _, node := range f.nats.Addresses() {
		f.agentNATS = append(f.agentNATS, f.inside("tcp", node, nil))
	}
	return []string{"--lease", fleetLease.String(), "--secret-key", filepath.Join(dir, "secret.key")}
}

// backend are the flags that name what a cid stands on; each has a way of its own to the database.
func (f *fleet) backend(i int) []string {
	f.objects.Endpoint = f.s3.Addr
	return []string{"--database", f.databaseAt(f.cidDBs[i].Addr), "--queue", f.nats.URL, "--blobs", f.objects.URL("fleet")}
}

// agent are the flags of the first agent, whose ways can be cut off one by one.
func (f *fleet) agent() []string {
	f.objects.Endpoint = f.agentS3.Addr
	var nodes []string
	for _, p := range f.agentNATS {
		nodes = append(nodes, "nats://"+p.Addr)
	}
	return []string{"--database", f.databaseAt(f.db.Addr), "--queue", strings.Join(nodes, ","), "--blobs", f.objects.URL("fleet")}
}

func (f *fleet) databaseAt(addr string) string {
	name := f.database[strings.LastIndex(f.database, "/")+1 : strings.Index(f.database, "?")]
	return fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", addr, name)
}

// proxy makes a way to a server, which ends with the test.
func (f *fleet) proxy(host, network, address string, sent func([]byte) rig.Fate) *rig.Proxy {
	f.t.Helper()
	p, err := rig.NewProxy(host, network, address, sent)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { _ = p.Close() })
	return p
}

// inside makes a way of the first agent alone, that can be cut off.
func (f *fleet) inside(network, address string, sent func([]byte) rig.Fate) *rig.Proxy {
	f.t.Helper()
	p := f.proxy(f.net.Host, network, address, sent)
	f.net.Through(port(f.t, p.Addr), p)
	return p
}

// postgresOnItsDisk starts a server on a disk that can be filled up, where one
// may be mounted.
func (f *fleet) postgresOnItsDisk() *postgres.Server {
	f.t.Helper()
	dir, err := os.MkdirTemp("/tmp", "chaos-pg-") // the server's account gets there
	require.NoError(f.t, err)
	f.t.Cleanup(func() { require.NoError(f.t, os.RemoveAll(dir)) })
	require.NoError(f.t, os.Chmod(dir, 0o755))
	data := filepath.Join(dir, "data")
	require.NoError(f.t, os.Mkdir(data, 0o700))
	f.disk, err = rig.NewDisk(data, 1<<30)
	if errors.Is(err, rig.ErrNoDisk) {
		return postgres.Start(f.t)
	}
	require.NoError(f.t, err)
	f.t.Cleanup(func() { require.NoError(f.t, f.disk.End()) })
	require.NoError(f.t, os.Chmod(data, 0o700))
	return postgres.StartOn(f.t, data)
}
