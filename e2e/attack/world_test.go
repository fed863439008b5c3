package attack

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
)

// patience is how long something may take on a machine that does much else.
const patience = 5 * time.Minute

// spec is a job file.
type spec map[string]any

// world is what attacks are played in: one cid with its agent, a host with
// something to steal on it, and another job that is running.
type world struct {
	bin    rig.Binaries
	cid    *rig.Cid
	client *rig.Client
	docker *rig.Docker
	git    *rig.Git
	dir    string
	image  string // busybox and the burglar, root
	canary string // in cid's environment
	decoy  *decoy
	ssh    sshServers
	host   string // an address of this machine
	victim victim

	mu      sync.Mutex
	played  map[string]func(*testing.T) map[string]string
	jobs    int
	binary  []byte // the burglar
	busybox []byte
	images  []string
}

// victim is another job's run.
type victim struct {
	run     rig.Run
	address string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), canary: "canary-" + rig.Random(), played: map[string]func(*testing.T) map[string]string{}}
	var err error
	w.bin, err = rig.Build(t.Context(), w.dir)
	require.NoError(t, err)
	w.docker, err = rig.OpenDocker()
	require.NoError(t, err, "attacks are played in containers; start a Docker engine")
	w.host, err = rig.HostIP()
	require.NoError(t, err)
	w.git, err = rig.NewGit(filepath.Join(w.dir, "host"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.git.Off()) })
	t.Cleanup(func() { // after cid's end, when nothing uses them
		for _, ref := range w.images {
			require.NoError(t, w.docker.RemoveImage(context.Background(), ref))
		}
	})
	w.decoy, w.ssh = newDecoy(t), newSSHServers(t)
	w.image = w.makeImages(t)
	w.start(t)
	w.settle(t)
	return w
}

// start starts cid with something in its environment that no job may see.
func (w *world) start(t *testing.T) {
	t.Helper()
	env := append(os.Environ(), "AGENT_CANARY="+w.canary, "LD_PRELOAD_CANARY="+w.canary)
	args := append([]string{"--git-allow", w.git.Host, "--agent-disk", "48MiB", "--agent-mirror-budget", mirrorBudget}, w.ssh.reach(w.host)...)
	cid, err := rig.NewCid(w.bin, filepath.Join(w.dir, "data"), env, args...)
	require.NoError(t, err)
	w.cid = cid
	t.Cleanup(func() {
		require.NoError(t, cid.End(context.Background()))
		require.Zero(t, w.decoy.hits(), "something of the host that no job may reach was reached")
		if log, err := os.ReadFile(cid.LogFile()); t.Failed() && err == nil {
			t.Logf("cid's log ends so:\n%s", log[max(0, len(log)-4000):])
		}
	})
	require.NoError(t, cid.Start(t.Context()))
	w.client = cid.Client()
	config := spec{
		"globalTimeout": "10m", "abortGrace": "1s", "classes": []spec{{"name": "small", "cpus": 0.5, "memory": 1 << 30}},
		"maxConsole": 4 << 20, "maxResult": 1 << 20, "maxResultFiles": 100, "retention": "0s",
	}
	require.NoError(t, w.client.Call(t.Context(), http.MethodPut, "/config", config, nil))
}

// settle starts the victim: a run with a port open, a file, and a value to steal.
func (w *world) settle(t *testing.T) {
	t.Helper()
	script := `echo "address $(hostname -i)"; echo $TREASURE > treasure; echo $TREASURE > /tmp/treasure; echo $TREASURE > /dev/shm/treasure
while :; do echo $TREASURE | nc -l -p 8080 >/dev/null; done`
	run := w.trigger(t, spec{"script": script, "environment": spec{"image": w.image}}, map[string]string{"TREASURE": "treasure-" + w.canary})
	require.NoError(t, rig.Poll(t.Context(), patience, func() error {
		_, rest, _ := strings.Cut(w.console(t, run), "address ")
		address, _, whole := strings.Cut(rest, "\n")
		if !whole {
			return fmt.Errorf("the victim has not begun")
		}
		w.victim.address = address
		return nil
	}))
	w.victim.run = run
	t.Cleanup(func() {
		_, err := w.client.Do(context.Background(), http.MethodPost, path(run)+"/abort", nil)
		require.NoError(t, err)
	})
	// Without this, everything that can't reach it would prove nothing.
	require.NoError(t, rig.Poll(t.Context(), patience, func() error {
		conn, err := net.DialTimeout("tcp", w.victim.address+":8080", time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}), "the machine itself reaches the victim")
}

func path(r rig.Run) string { return fmt.Sprintf("/jobs/%s/runs/%d", r.Job, r.ID) }

// put makes a job of its own. Parameters get empty defaults.
func (w *world) put(t *testing.T, kind string, document any, parameters map[string]string) string {
	t.Helper()
	w.mu.Lock()
	w.jobs++
	name := fmt.Sprintf("attack-%d", w.jobs)
	w.mu.Unlock()
	var list []spec
	for p := range parameters {
		list = append(list, spec{"name": p})
	}
	job := spec{kind: document}
	if list != nil {
		job["parameters"] = list
	}
	require.NoError(t, w.client.Call(t.Context(), http.MethodPut, "/jobs/"+name, job, nil))
	return name
}

// trigger triggers a run of a job file.
func (w *world) trigger(t *testing.T, s spec, parameters map[string]string) rig.Run {
	t.Helper()
	small := spec{"cpus": 0.5, "memory": "256MiB", "pids": 256}
	if own, ok := s["resources"].(spec); ok {
		maps.Copy(small, own)
	}
	s["resources"] = small
	var run rig.Run
	name := w.put(t, "freestyle", s, parameters)
	require.NoError(t, w.client.Call(t.Context(), http.MethodPost, "/jobs/"+name+"/runs", spec{"parameters": parameters}, &run))
	return run
}

// played is a run that is done.
type played struct {
	rig.Run
	console string
}

// play carries out a job file, in the burglar's image unless it names another.
func (w *world) play(t *testing.T, s spec, parameters ...map[string]string) played {
	t.Helper()
	if s["environment"] == nil {
		s["environment"] = spec{"image": w.image}
	}
	values := map[string]string{}
	for _, p := range parameters {
		values = p
	}
	return w.await(t, w.trigger(t, s, values))
}

func (w *world) await(t *testing.T, run rig.Run) played {
	t.Helper()
	done, err := w.client.Wait(t.Context(), run.Job, run.ID, patience)
	require.NoError(t, err)
	console := w.console(t, run)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("run %d: %s: %s\n%.20000s", run.ID, done.Outcome, done.Reason, console)
		}
	})
	return played{done, console}
}

// repository plays a job that lives in a repository, at its branch main.
func (w *world) repository(t *testing.T, tree string, parameters map[string]string, more spec) played {
	t.Helper()
	repo := "r" + rig.Random()
	require.NoError(t, w.git.Init(repo))
	_, err := w.git.Commit(repo, "main", tree)
	require.NoError(t, err)
	git := spec{"url": w.git.URL(repo), "configPath": "job.yaml"}
	for k, v := range more {
		git[k] = v
	}
	name := w.put(t, "git", git, parameters)
	var run rig.Run
	require.NoError(t, w.client.Call(t.Context(), http.MethodPost, "/jobs/"+name+"/runs", spec{"branchName": "main", "parameters": parameters}, &run))
	return w.await(t, run)
}

// tree makes a folder of files; a content that begins with "-> " is a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			require.NoError(t, os.Symlink(target, file))
			continue
		}
		require.NoError(t, os.WriteFile(file, []byte(content), 0o755))
	}
	return dir
}

// file is a job file as text; JSON is YAML.
func file(t *testing.T, s spec) string {
	t.Helper()
	s["resources"] = spec{"cpus": 0.5, "memory": "256MiB", "pids": 256}
	return text(t, s)
}

// text is a document as JSON.
func text(t *testing.T, s spec) string {
	t.Helper()
	b, err := json.Marshal(s)
	require.NoError(t, err)
	return string(b)
}

func (w *world) console(t *testing.T, r rig.Run) string { return w.result(t, r, "console") }

// result is one of a run's results, or what the API says instead.
func (w *world) result(t *testing.T, r rig.Run, name string) string {
	t.Helper()
	a, err := w.client.Do(t.Context(), http.MethodGet, path(r)+"/results/"+name, nil)
	require.NoError(t, err)
	return string(a.Body)
}

// results are the names of a run's results but for the console.
func (w *world) results(t *testing.T, r rig.Run) []string {
	t.Helper()
	var list struct{ Results []struct{ Name string } }
	require.NoError(t, w.client.Call(t.Context(), http.MethodGet, path(r)+"/results", nil, &list))
	var names []string
	for _, result := range list.Results {
		if result.Name != "console" {
			names = append(names, result.Name)
		}
	}
	return names
}

// once remembers what a chapter's run printed, for whoever asks first and all others.
func (w *world) once(title string, run func(*testing.T) map[string]string) func(*testing.T) map[string]string {
	var first sync.Once
	var printed map[string]string
	return func(t *testing.T) map[string]string {
		t.Helper()
		first.Do(func() { printed = run(t) })
		require.NotNil(t, printed, "the run of %q failed", title)
		return printed
	}
}

// makeImages imports the image that most attacks are played in.
func (w *world) makeImages(t *testing.T) string {
	t.Helper()
	var err error
	w.busybox, err = os.ReadFile("/bin/busybox")
	require.NoError(t, err, "attacks need a static busybox; install busybox-static")
	burglar := filepath.Join(w.dir, "burglar")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", burglar, "./testdata/burglar")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	w.binary, err = os.ReadFile(burglar)
	require.NoError(t, err)
	return w.makeImage(t, nil, nil)
}

// makeImage imports an image of busybox, the burglar and what is given besides:
// files, links as "-> target", and changes as a Dockerfile's words.
func (w *world) makeImage(t *testing.T, more map[string]string, changes []string) string {
	t.Helper()
	files := map[string]string{
		"bin/busybox": string(w.busybox), "bin/burglar": string(w.binary), "opt/id": string(w.busybox),
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndev:x:1234:1235:dev:/home/dev:/bin/sh\n", "etc/group": "root:x:0:\ndev:x:1235:\n",
	}
	for name, content := range more {
		files[name] = content
	}
	var archive bytes.Buffer
	a := tar.NewWriter(&archive)
	for name, content := range files {
		h := &tar.Header{Name: name, Mode: 0o755, Typeflag: tar.TypeReg, Size: int64(len(content))}
		if name == "opt/id" {
			h.Mode = 0o4755
		}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			h.Typeflag, h.Linkname, h.Size, content = tar.TypeSymlink, target, 0, ""
		}
		require.NoError(t, a.WriteHeader(h))
		_, err := io.WriteString(a, content)
		require.NoError(t, err)
	}
	applets, err := exec.CommandContext(t.Context(), "/bin/busybox", "--list").Output()
	require.NoError(t, err)
	for name := range strings.FieldsSeq(string(applets)) {
		if name != "busybox" {
			require.NoError(t, a.WriteHeader(&tar.Header{Name: "bin/" + name, Linkname: "busybox", Typeflag: tar.TypeSymlink, Mode: 0o777}))
		}
	}
	require.NoError(t, a.Close())
	tag := rig.Random()
	require.NoError(t, w.docker.Import(t.Context(), "ci-attack", tag, &archive, append([]string{"ENV PATH=/bin"}, changes...)...))
	ref := "ci-attack:" + tag
	w.mu.Lock()
	defer w.mu.Unlock()
	w.images = append(w.images, ref)
	return ref
}

// decoy is what a host has that its jobs have no business with: a service on
// all of its addresses. It counts who comes.
type decoy struct {
	port  string
	mu    sync.Mutex
	count int
}

func newDecoy(t *testing.T) *decoy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", ":0")
	require.NoError(t, err)
	d := &decoy{}
	_, d.port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.count++
			d.mu.Unlock()
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return d
}

func (d *decoy) hits() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}
