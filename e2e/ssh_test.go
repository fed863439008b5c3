package e2e

import (
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ci/e2e/rig"
	"ci/pkg/sshkey/sshdtest"
)

// sshdCommand starts an SSH server that checkouts and scripts reach at an
// address of this machine.
func sshdCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 0, 0)
	s := on(ts)
	host, err := rig.HostIP()
	ts.Check(err)
	s.sshd = sshdtest.Start(ts.Value(testKey{}).(testing.TB), "0.0.0.0")
	port := strconv.Itoa(s.sshd.Port)
	for name, value := range map[string]string{
		"SSH_HOST": host, "SSH_PORT": port, "SSH_USER": s.sshd.User, "SSH_FINGERPRINT": s.sshd.Keys[0].Fingerprint,
		"CID_AGENT_REACH": s.recorder.Port + "," + port,
	} {
		ts.Setenv(name, value)
	}
}

func authorizeCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	on(ts).sshd.Authorize(ts.Value(testKey{}).(testing.TB), ts.ReadFile(args[0]))
}
