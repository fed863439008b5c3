package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ci/backend/queue/queuetest/rabbitserver"
	"ci/backend/trace/tracetest"
	"ci/e2e/rig"
	"ci/pkg/sshkey/sshdtest"
)

// stage is what one scenario has: servers, and the last answer it got.
type stage struct {
	bin      rig.Binaries
	work     string
	recorder *rig.Recorder
	git      *rig.Git
	cids     map[string]*rig.Cid
	agents   map[string]*agent
	nats     *natsServer
	rabbit   *rabbitserver.Server
	sshd     *sshdtest.Server
	balancer *rig.Balancer
	engine   *rig.Engine // nil: the scenario's Docker is that of the tests
	answer   *rig.Answer
	follow   *follow
	traces   *tracetest.Collector
	closers  []func() error
}

// agent is a ci-agent.
type agent struct {
	*rig.Process
	id   string
	args []string
}

type (
	stageKey struct{}
	testKey  struct{} // of the testing.TB
)

// on returns a script's stage.
func on(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

func newStage(work string, bin rig.Binaries) (*stage, error) {
	recorder, err := rig.NewRecorder()
	if err != nil {
		return nil, err
	}
	git, err := rig.NewGit(filepath.Join(work, ".git-host"))
	if err != nil {
		return nil, errors.Join(err, recorder.Close())
	}
	return &stage{bin: bin, work: work, recorder: recorder, git: git, cids: map[string]*rig.Cid{}, agents: map[string]*agent{}}, nil
}

// end stops everything and returns what was not left as it should be.
func (s *stage) end(ctx context.Context) error {
	var errs []error
	if s.follow != nil {
		s.follow.close()
	}
	for _, a := range s.agents {
		if a.Alive() {
			errs = append(errs, a.Stop(stopPatience))
		}
		errs = append(errs, rig.Clean(ctx, a.id))
	}
	for _, c := range s.cids {
		errs = append(errs, c.End(ctx))
	}
	for _, f := range slices.Backward(s.closers) {
		errs = append(errs, f())
	}
	_ = s.git.Off() // a scenario may have done so
	return errors.Join(append(errs, s.recorder.Close())...)
}

// logs shows what the servers said, for a scenario that failed.
func (s *stage) logs(t testing.TB) {
	files, _ := filepath.Glob(filepath.Join(s.work, "*", "*.log"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		lines := slices.DeleteFunc(bytes.Split(b, []byte("\n")), func(l []byte) bool { return bytes.Contains(l, []byte("msg=request ")) })
		t.Logf("%s: %v\n%s", filepath.Base(f), err, bytes.Join(lines[max(0, len(lines)-60):], []byte("\n")))
	}
}
