package e2e

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ci/backend/queue/queuetest/rabbitserver"
)

func rabbitmqCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, append(args, ""), 1, 1)
	t := ts.Value(testKey{}).(testing.TB)
	ts.Setenv("QUEUE", rabbitserver.Start(t).URL(t))
}
