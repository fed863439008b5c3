package chaos

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"ci/e2e/rig"
)

// served is a cid whose runs have a service each.
type served struct {
	*rig.Cid
	docker *rig.Docker
	client *rig.Client
	image  string
}

func newServed(ctx context.Context, t *testing.T, args ...string) *served {
	t.Helper()
	bin, err := rig.Build(ctx, t.TempDir())
	require.NoError(t, err)
	docker, err := rig.OpenDocker()
	require.NoError(t, err)
	image, err := docker.Busybox(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { _ = docker.RemoveImage(context.WithoutCancel(ctx), image) })
	dir, err := os.MkdirTemp("", "chaos-services-") // kept when the test fails
	require.NoError(t, err)
	cid, err := rig.NewCid(bin, dir, os.Environ(), args...)
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := cid.End(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the data are left in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	require.NoError(t, cid.Start(ctx))
	return &served{cid, docker, cid.Client(), image}
}

// job puts a job whose script runs beside a web server.
func (s *served) job(ctx context.Context, name, script string) error {
	spec := map[string]any{
		"script":      script,
		"environment": map[string]any{"image": s.image},
		"resources":   map[string]any{"cpus": 0.1, "memory": "32MiB"},
		"services": map[string]any{"web": map[string]any{
			"image": s.image, "command": []string{"httpd", "-f", "-vv", "-p", "8080", "-h", "/bin"}, "expose": []string{"8080"},
			"volumes": []string{"data:/data"}, "mem_limit": "32m",
		}},
	}
	return s.client.Call(ctx, "PUT", "/jobs/"+name, map[string]any{"freestyle": spec}, nil)
}

// counts are the objects of runs that the engine has, by kind.
func (s *served) counts(ctx context.Context) (map[string]int, error) {
	all, err := s.docker.Objects(ctx, "ci.agent="+s.Agent, "ci.run")
	n := map[string]int{}
	for _, o := range all {
		kind, _, _ := strings.Cut(o, "/")
		n[kind]++
	}
	return n, err
}

// gone waits until nothing of any run is left.
func (s *served) gone(ctx context.Context) error {
	return rig.Poll(ctx, 2*time.Minute, func() error {
		n, err := s.counts(ctx)
		if err == nil && len(n) > 0 {
			err = fmt.Errorf("left in Docker: %v", n)
		}
		return err
	})
}

// atOnce has so many runs run at the same time, and aborts them all.
func (s *served) atOnce(ctx context.Context, runs int) error {
	ids := make([]int64, runs)
	for i := range ids {
		r, err := s.client.Trigger(ctx, "long")
		if err != nil {
			return err
		}
		ids[i] = r.ID
	}
	err := rig.Poll(ctx, 5*time.Minute, func() error { return s.allRun(ctx, ids) })
	for _, id := range ids {
		_, aerr := s.client.Do(ctx, "POST", fmt.Sprintf("/jobs/long/runs/%d/abort", id), nil)
		err = errors.Join(err, aerr)
	}
	for _, id := range ids {
		r, werr := s.client.Wait(ctx, "long", id, 3*time.Minute)
		if err = errors.Join(err, werr); r.Outcome != "aborted" {
			err = errors.Join(err, fmt.Errorf("run %d: %s: %s", id, r.Outcome, r.Reason))
		}
	}
	return errors.Join(err, s.gone(ctx))
}

// allRun says whether all of these runs run now, each in a network of its own.
func (s *served) allRun(ctx context.Context, ids []int64) error {
	for _, id := range ids {
		r, err := s.client.Get(ctx, "long", id)
		if err != nil {
			return err
		}
		if r.Phase != "running" {
			return fmt.Errorf("run %d is %s %s: %s", id, r.Phase, r.Outcome, r.Reason)
		}
	}
	n, err := s.counts(ctx)
	if err == nil && (n["networks"] != len(ids) || n["containers"] != 2*len(ids) || n["volumes"] != len(ids)) {
		err = fmt.Errorf("%d runs have %v", len(ids), n)
	}
	return err
}

// Forty runs with services at once get a network each, and nothing stays of them.
func TestFortyRunsWithServices(t *testing.T) {
	if testing.Short() {
		t.Skip("starts containers")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	s := newServed(ctx, t, "--agent-cpus", "40", "--agent-memory", "80GiB")
	require.NoError(t, s.job(ctx, "long", "wget -q -O /dev/null http://web:8080/busybox; sleep 1000"))
	require.NoError(t, s.atOnce(ctx, 40))
}

// A third of a hundred runs with services is aborted at random moments. Nothing
// stays of any, and the agent's few subnets are all there afterwards.
func TestAbortsOfRunsWithServices(t *testing.T) {
	if testing.Short() {
		t.Skip("starts containers")
	}
	const runs = 100
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	random := seeded(t)
	s := newServed(ctx, t, "--agent-cpus", "8", "--agent-memory", "16GiB", "--agent-subnet", fmt.Sprintf("10.232.%d.0/24", random.IntN(256)))
	require.NoError(t, s.job(ctx, "quick", "wget -q -O /dev/null http://web:8080/busybox"))
	require.NoError(t, s.job(ctx, "long", "sleep 1000"))
	began := time.Now()
	first, err := s.client.Trigger(ctx, "quick")
	require.NoError(t, err)
	r, err := s.client.Wait(ctx, "quick", first.ID, 3*time.Minute)
	require.NoError(t, err)
	require.Equal(t, "succeeded", r.Outcome, r.Reason)
	require.NoError(t, s.logs(ctx, first.ID))
	life := time.Since(began)

	var g errgroup.Group
	g.SetLimit(4)
	var mu sync.Mutex
	outcomes := map[string]int{}
	for i := range runs {
		delay := time.Duration(random.Float64() * 1.2 * float64(life))
		g.Go(func() error {
			end, err := s.maybeAborted(ctx, i%3 == 0, delay)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[end.Outcome]++
			return nil
		})
	}
	require.NoError(t, g.Wait())
	t.Logf("%v", outcomes)
	require.Equal(t, runs, outcomes["succeeded"]+outcomes["aborted"])
	require.NotZero(t, outcomes["aborted"])
	require.NoError(t, s.gone(ctx))
	require.NoError(t, s.atOnce(ctx, 8), "the range has eight subnets")
}

// maybeAborted is one run, which is aborted after delay if it shall be.
func (s *served) maybeAborted(ctx context.Context, abort bool, delay time.Duration) (rig.Run, error) {
	if abort {
		return abortOnce(ctx, s.client, delay)
	}
	r, err := s.client.Trigger(ctx, "quick")
	if err != nil {
		return r, err
	}
	end, err := s.client.Wait(ctx, "quick", r.ID, 5*time.Minute)
	if err == nil && end.Outcome != "succeeded" {
		err = fmt.Errorf("run %d: %s: %s", r.ID, end.Outcome, end.Reason)
	}
	return end, err
}

// logs says what is wrong with the result that holds what a run's service printed.
func (s *served) logs(ctx context.Context, run int64) error {
	a, err := s.client.Do(ctx, "GET", fmt.Sprintf("/jobs/quick/runs/%d/results/services", run), nil)
	if err != nil {
		return err
	}
	z, err := zip.NewReader(bytes.NewReader(a.Body), int64(len(a.Body)))
	if err != nil {
		return fmt.Errorf("%d: %s: %w", a.Status, a.Body, err)
	}
	if len(z.File) != 1 || z.File[0].Name != "web.log" || z.File[0].UncompressedSize64 == 0 {
		return fmt.Errorf("the result services holds %v", z.File)
	}
	return nil
}
