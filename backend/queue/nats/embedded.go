package nats

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"ci/pkg/ci"
)

// embedded is a server in this process and the lock on its folder.
type embedded struct {
	srv  *server.Server
	lock *folderLock
	dir  string
}

// openEmbedded starts a server in this process. A store that can't be used
// any more is thrown away: its messages are hints, and the sweeper publishes
// the waiting runs again.
func openEmbedded(cfg Config) (*Driver, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the queue's folder %s can't be made: %w", cfg.Dir, err)
	}
	lock, err := lockFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	d, err := tryEmbedded(cfg, lock)
	if err != nil {
		cfg.Log.Warn("the queue's store can't be used and is begun anew; waiting runs are queued again from the database", "dir", cfg.Dir, "err", err)
		if rmErr := os.RemoveAll(filepath.Join(cfg.Dir, server.JetStreamStoreDir)); rmErr != nil {
			err = errors.Join(err, rmErr)
		} else {
			d, err = tryEmbedded(cfg, lock)
		}
	}
	if err != nil {
		lock.release()
		return nil, ci.Errorf(ci.CodeUnavailable, "the NATS server in this process does not start in folder %s; can it be written, and has its disk room? %w", cfg.Dir, err)
	}
	return d, nil
}

func tryEmbedded(cfg Config, lock *folderLock) (*Driver, error) {
	srv, err := startServer(cfg)
	if err != nil {
		return nil, err
	}
	d, err := newDriver(cfg, func(d *Driver) (*nats.Conn, error) {
		return nats.Connect("", append(d.options(), nats.InProcessServer(srv))...)
	}, &embedded{srv: srv, lock: lock, dir: cfg.Dir})
	if err == nil {
		// A damaged store may load and only fail when it is used.
		if err = d.probe(); err == nil {
			return d, nil
		}
		d.close()
		d.conn.Close()
	}
	srv.Shutdown()
	srv.WaitForShutdown()
	return nil, err
}

// startServer returns a server that listens nowhere: it is reached through
// memory alone, so no job and no neighbour can talk to it.
func startServer(cfg Config) (*server.Server, error) {
	log := &serverLog{log: cfg.Log}
	srv, err := server.NewServer(&server.Options{
		ServerName: "ci",
		DontListen: true,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   cfg.Dir,
		// A message that was acknowledged to a publisher is on the disk.
		SyncAlways:             true,
		JetStreamMaxMemory:     16 << 20,
		JetStreamMaxStore:      1 << 30,
		DisableJetStreamBanner: true,
		MaxPending:             8 << 20,
		MaxClosedClients:       1,
	})
	if err != nil {
		return nil, err
	}
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	if err := log.fatal(); err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, err
	}
	if !srv.ReadyForConnections(10 * time.Second) {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, errors.New("it was not ready after 10 seconds")
	}
	return srv, nil
}

// stopPatience bounds the stop of the server: what it has not written by then is
// hints, and the process is to end.
const stopPatience = 10 * time.Second

func (e *embedded) stop(log *slog.Logger) {
	if !ends(stopPatience, func() {
		e.srv.Shutdown()
		e.srv.WaitForShutdown()
		e.lock.release() // not before: another process may not have the folder
	}) {
		log.Warn("the NATS server in this process does not stop; is its disk full or slow? It ends with the process", "dir", e.dir)
	}
}

// ends calls fn and waits for its end, but not longer than limit.
func ends(limit time.Duration, fn func()) bool {
	ended := make(chan struct{})
	go func() { // ends with fn, or the process
		defer close(ended)
		fn()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}
