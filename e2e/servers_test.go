package e2e

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rogpeppe/go-internal/testscript"

	"ci/e2e/rig"
)

// natsServer is a broker outside of every cid.
type natsServer = server.Server

func natsCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, append(args, ""), 1, 1)
	s := on(ts)
	n, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(s.work, "nats"), NoSigs: true, NoLog: true, SyncAlways: true,
	})
	ts.Check(err)
	n.Start()
	s.nats = n
	s.closers = append(s.closers, func() error {
		n.Shutdown()
		n.WaitForShutdown()
		return nil
	})
	if !n.ReadyForConnections(time.Minute) {
		ts.Fatalf("the NATS server is not ready after a minute")
	}
	ts.Setenv("QUEUE", n.ClientURL())
}

func agentCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 0)
	s, name := on(ts), args[1]
	a := s.agents[name]
	if a == nil {
		a = &agent{id: "e2e-" + rig.Random()}
		a.args = append([]string{
			"--id", a.id, "--data", filepath.Join(s.work, name), "--log-level", "debug",
			"--cpus", "4", "--memory", "8GiB", "--max-load", "1",
		}, args[2:]...)
		s.agents[name] = a
		ts.Setenv("AGENT", a.id)
	}
	switch args[0] {
	case "new":
		return
	case "start":
	default:
		ended(ts, a.Process, args[0])
		return
	}
	p, err := rig.Launch(filepath.Join(s.work, "home", name+".log"), s.bin.Path("ci-agent"), environ(ts), a.args...)
	ts.Check(err)
	a.Process = p
}

func balanceCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	s := on(ts)
	if s.balancer == nil {
		b, err := rig.NewBalancer()
		ts.Check(err)
		s.balancer = b
		s.closers = append(s.closers, b.Close)
		ts.Setenv("BALANCED", "http://"+b.Addr)
	}
	c := s.cids[args[0]]
	if c == nil {
		ts.Fatalf("there is no cid %s", args[0])
	}
	s.balancer.Point(strings.TrimPrefix(c.URL, "http://"))
}
