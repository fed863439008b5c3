package e2e

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ci/backend/queue/queuetest/rabbitserver"
)

func rabbitmqCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	s, t := on(ts), ts.Value(testKey{}).(testing.TB)
	switch args[0] {
	case "start":
		s.rabbit = rabbitserver.Start(t)
		ts.Setenv("QUEUE", s.rabbit.URL(t))
	case "kill":
		s.rabbit.Down()
	case "again":
		s.rabbit.Up(t)
	default:
		ts.Fatalf("rabbitmq %s: it can start, kill, and again", args[0])
	}
}
