package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
	"ci/pkg/ci"
)

// The whole package shares one engine, one toolbox and one open driver; tests
// that need their own make one with newDriver.
var (
	engine      *client.Client
	toolbox     string // the static binary
	common      *Driver
	lastRun     atomic.Int64
	busyBase    = fmt.Sprintf("ci-test:busybox-%d", os.Getpid()) // busybox in /bin, root and dev (uid 1234) in passwd
	sidecarBase = fmt.Sprintf("ci-test:sidecar-%d", os.Getpid()) // busybox in /bin, exposes port 8080
	bare        = fmt.Sprintf("ci-test:bare-%d", os.Getpid())    // nothing at all
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "ci-docker-test")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	if engine, err = client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation()); err != nil {
		return fail(err)
	}
	if _, err := engine.Ping(ctx); err != nil {
		return fail(fmt.Errorf("these tests run containers, and no Docker engine answers at %s: %w; start one", engine.DaemonHost(), err))
	}
	toolbox = filepath.Join(dir, "toolbox")
	if err := buildToolbox(); err != nil {
		return fail(err)
	}
	defer removeImages(ctx)
	if err := importImages(ctx); err != nil {
		return fail(err)
	}
	if common, err = New(config("test-common")); err != nil {
		return fail(err)
	}
	if err := common.Open(ctx); err != nil {
		return fail(err)
	}
	code := m.Run()
	if err := common.Close(ctx); err != nil {
		return fail(err)
	}
	return code
}

func removeImages(ctx context.Context) {
	for _, ref := range []string{busyBase, sidecarBase, bare} {
		_, _ = engine.ImageRemove(ctx, ref, dockerimage.RemoveOptions{})
	}
}

// buildToolbox builds the smallest binary that can be the toolbox, unless
// CI_TEST_TOOLBOX names one, such as cid itself.
func buildToolbox() error {
	if given := os.Getenv("CI_TEST_TOOLBOX"); given != "" {
		toolbox = given
		return nil
	}
	build := exec.Command("go", "build", "-trimpath", "-o", toolbox, "./testdata/toolbox")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("the toolbox can't be built: %w: %s", err, out)
	}
	return nil
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// config is for an agent of this process alone: others may test on the same engine.
func config(agent string) Config {
	return Config{Agent: fmt.Sprintf("%s-%d", agent, os.Getpid()), Executable: toolbox, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
}

// importImages makes the two images that jobs of the tests run in.
func importImages(ctx context.Context) error {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return fmt.Errorf("these tests need a static busybox: %w; install busybox-static", err)
	}
	files := map[string]string{
		"bin/busybox": string(busybox),
		"etc/passwd":  "root:x:0:0:root:/root:/bin/sh\ndev:x:1234:1235:dev:/home/dev:/bin/sh\n",
		"etc/group":   "root:x:0:\ndev:x:1235:\nbuild:x:1300:dev\n",
	}
	links := []string{"sh", "ash", "cat", "echo", "env", "id", "kill", "ls", "ln", "mkdir", "mkfifo", "sleep", "sha256sum", "seq", "dd", "head", "tail", "yes", "true", "false", "touch", "rm", "chmod", "stat", "nslookup", "nc", "wget", "ip", "grep", "awk", "hostname", "ps", "wc", "find", "truncate", "setsid", "ping", "date", "od", "tr", "cp", "mount", "readlink", "test", "usleep", "sort"}
	if err := importImage(ctx, busyBase, files, links, "ENV PATH=/bin", "ENV FROM_IMAGE=yes", `ENTRYPOINT ["/bin/false"]`, "VOLUME /data", "HEALTHCHECK --interval=1s CMD /bin/false"); err != nil {
		return err
	}
	files["seed/motd"] = "from the image\n"
	if err := importImage(ctx, sidecarBase, files, append(links, "httpd"), "ENV PATH=/bin", "ENV FROM_IMAGE=yes", "EXPOSE 8080"); err != nil {
		return err
	}
	return importImage(ctx, bare, map[string]string{"keep": ""}, nil)
}

func importImage(ctx context.Context, ref string, files map[string]string, links []string, changes ...string) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	for _, l := range links {
		if err := w.WriteHeader(&tar.Header{Name: "bin/" + l, Linkname: "busybox", Typeflag: tar.TypeSymlink, Mode: 0o777}); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	answer, err := engine.ImageImport(ctx, dockerimage.ImportSource{Source: &b, SourceName: "-"}, ref, dockerimage.ImportOptions{Changes: changes})
	if err != nil {
		return err
	}
	return drain(answer)
}

// newDriver is an open driver of its own, closed and checked at the test's end.
func newDriver(t *testing.T) *Driver {
	t.Helper()
	d, err := New(config("test-" + t.Name()))
	require.NoError(t, err)
	require.NoError(t, d.Open(t.Context()))
	t.Cleanup(func() {
		require.NoError(t, d.Close(context.Background()))
		requireNothing(t, d)
	})
	return d
}

// objects lists what the engine has of the agent.
func objects(t *testing.T, d *Driver) []object {
	t.Helper()
	var all []object
	for _, list := range []func(context.Context) ([]object, error){d.containers, d.volumes, d.networks} {
		some, err := list(context.Background())
		require.NoError(t, err)
		all = append(all, some...)
	}
	return all
}

func requireNothing(t *testing.T, d *Driver) {
	t.Helper()
	for _, o := range objects(t, d) {
		t.Errorf("left behind: %s %v", o.name, o.labels)
	}
}

// order is a freestyle run of script with the defaults.
func order(script string, change ...func(*runner.Order)) runner.Order {
	o := runner.Order{
		Tell: quiet{},
		Run:  lastRun.Add(1), Job: "job", MaxResult: 64 << 20, MaxResultFiles: 100,
		Spec: ci.Spec{
			Script:      script,
			Environment: ci.Environment{Workdir: ci.DefaultWorkdir},
			Resources:   ci.Resources{CPUs: 1, Memory: 256 << 20, Pids: 128},
		},
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

func inImage(ref string) func(*runner.Order) {
	return func(o *runner.Order) { o.Spec.Environment.Image = ref }
}

func asUser(name string) func(*runner.Order) {
	return func(o *runner.Order) { o.Spec.Environment.User = name }
}

// output is a console.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// prepare makes a box that is removed, and checked, at the test's end.
func prepare(t *testing.T, d *Driver, o runner.Order, console io.Writer) *box {
	t.Helper()
	got, err := d.Prepare(t.Context(), o, console)
	require.NoError(t, err)
	b := got.(*box)
	t.Cleanup(func() {
		require.NoError(t, b.Remove(context.Background()))
		require.NoError(t, b.Remove(context.Background()), "not safe to repeat")
		for _, left := range objects(t, d) {
			if run, ok := left.run(); ok && run == o.Run {
				t.Errorf("left behind: %s", left.name)
			}
		}
	})
	return b
}

// play prepares and runs o.
func play(t *testing.T, o runner.Order) (runner.Exit, string, *box) {
	t.Helper()
	return playOn(t, common, o)
}

// opened is a driver of its own, which is closed at the test's end.
func opened(t *testing.T, cfg Config) *Driver {
	t.Helper()
	d, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, d.Open(t.Context()))
	t.Cleanup(func() {
		require.NoError(t, d.Close(context.Background()))
		require.Empty(t, objects(t, d))
	})
	return d
}

func playOn(t *testing.T, d *Driver, o runner.Order) (runner.Exit, string, *box) {
	t.Helper()
	var console output
	b := prepare(t, d, o, &console)
	began := 0
	exit, err := b.Run(t.Context(), func() { began++ }, &console)
	require.NoError(t, err, console.String())
	require.Equal(t, 1, began, "started was not called exactly once")
	return exit, console.String(), b
}

// eventually polls until ok says so.
func eventually(t *testing.T, ok func() bool, what string) {
	t.Helper()
	require.Eventually(t, ok, 3*time.Minute, 20*time.Millisecond, what)
}

// quiet is told everything and keeps nothing.
type quiet struct{}

func (quiet) Step(string) func(string)    { return func(string) {} }
func (quiet) Image(ci.RunImage)           {}
func (quiet) Say(string)                  {}
func (quiet) ServiceLog(string) io.Writer { return io.Discard }
