// Package e2e plays scenarios against the real binaries. Each script of
// testdata starts cids of its own, and speaks to them as people and programs
// do: by curl, by HTTP, by the command line. What a script can say beside
// testscript's own commands is listed in commands_test.go.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ci/e2e/rig"
)

// atOnce is how many scenarios are played at a time. They mostly wait for containers.
const atOnce = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	if !set("test.parallel") {
		if err := flag.Set("test.parallel", atOnce); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func set(name string) (there bool) {
	flag.Visit(func(f *flag.Flag) { there = there || f.Name == name })
	return there
}

func TestScenarios(t *testing.T) {
	if testing.Short() {
		t.Skip("scenarios start real servers and containers")
	}
	t.Parallel()
	dir := t.TempDir()
	bin, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                commands(),
		Setup:               func(env *testscript.Env) error { return setup(env, bin) },
	})
}

// setup gives a scenario its stage, and looks after it at the end.
func setup(env *testscript.Env, bin rig.Binaries) error {
	s, err := newStage(env.WorkDir, bin)
	if err != nil {
		return err
	}
	env.Values[stageKey{}], env.Values[testKey{}] = s, env.T()
	env.Defer(func() {
		t := env.T().(testing.TB)
		if err := s.end(context.Background()); err != nil {
			t.Errorf("at the scenario's end: %v", err)
		}
		if t.Failed() {
			s.logs(t)
		}
	})
	home := filepath.Join(env.WorkDir, "home")
	env.Vars = append(env.Vars, append(rig.GitEnv(),
		"HOME="+home, "XDG_CONFIG_HOME="+home, "NO_COLOR=1",
		"PATH="+string(bin)+string(os.PathListSeparator)+env.Getenv("PATH"),
		"RECORDER="+s.recorder.URL, "CID_AGENT_REACH="+s.recorder.Port, "CI_AGENT_REACH="+s.recorder.Port, "GIT_HOST="+s.git.Host, "GIT_URL=http://"+s.git.Host,
		"DOCKER_HOST="+os.Getenv("DOCKER_HOST"),
	)...)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("a home: %w", err)
	}
	return nil
}
