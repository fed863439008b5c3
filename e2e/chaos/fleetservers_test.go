package chaos

import (
	"errors"
	"os"
	"path/filepath"

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
	f.db, err = rig.NewProxy(f.net.Host, "unix", f.postgres.Socket(), f.slow.hold)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.db.Close() })
	f.net.Through(port(t, f.db.Addr), f.db)
	f.nats, err = rig.NewNATSCluster(ctx, dir, f.net.Host)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.nats.Close() })
	require.NoError(t, f.nats.Ready(ctx))
	f.objects = s3server.Start(t)
	f.objects.Bucket(t, "fleet")
	f.s3, err = rig.NewProxy(f.net.Host, "tcp", f.objects.Endpoint, f.slowS3.hold)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.s3.Close() })
	f.objects.Endpoint = f.s3.Addr // for those who ask for it from here on
	return []string{
		"--queue", f.nats.URL, "--blobs", f.objects.URL("fleet"), "--lease", fleetLease.String(),
		"--secret-key", filepath.Join(dir, "secret.key"),
	}
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
