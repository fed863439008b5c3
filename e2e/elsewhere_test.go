package e2e

import (
	"context"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ci/e2e/rig"
)

// dockerOf is the Docker of a scenario: that of the tests, or one on another machine.
func dockerOf(ts *testscript.TestScript) (*rig.Docker, error) {
	if e := on(ts).engine; e != nil {
		return rig.DockerAt(context.Background(), e.Host)
	}
	return rig.OpenDocker()
}

func engineCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	switch args[0] {
	case "start":
		startEngine(ts)
	case "bare":
		e := on(ts).engine
		ts.Check(rig.Poll(context.Background(), patience, func() error { return e.Bare(context.Background()) }))
	default:
		ts.Fatalf("%s is not known here", args[0])
	}
}

// startEngine starts it, and takes the usual one away from what the scenario starts.
func startEngine(ts *testscript.TestScript) {
	s, t := on(ts), ts.Value(testKey{}).(testing.TB)
	e, err := rig.StartEngine(context.Background())
	s.closers = append(s.closers, func() error {
		if t.Failed() && e != nil {
			t.Logf("the other engine said:\n%s", e.Said(context.Background()))
		}
		return e.End(context.Background())
	})
	ts.Check(err)
	s.engine = e
	ts.Check(s.git.Off())
	if err := s.git.On(e.Gateway + ":0"); err != nil {
		ts.Fatalf("the git host can't listen where the other engine reaches it, which takes a Docker whose networks are this machine's: %v", err)
	}
	for name, value := range map[string]string{
		"ENGINE": e.Host, "ENGINE_IP": e.IP, "DOCKER_HOST": "unix:///nowhere/docker.sock",
		"GIT_HOST": s.git.Host, "GIT_URL": "http://" + s.git.Host,
	} {
		ts.Setenv(name, value)
	}
}
