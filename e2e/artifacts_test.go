package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ci/backend/blob/blobtest/s3server"
	"ci/e2e/rig"
)

// jobBlock is a job file in a Markdown text; its first line names it.
var jobBlock = regexp.MustCompile("(?ms)^```yaml\n# ci/([a-z0-9-]+)\\.yaml\n(.*?)^```$")

// artifactory is the part of Artifactory's REST API that the guide uses: deploy
// an artifact, deploy by checksum, retrieve. Tokens come as bearers.
type artifactory struct {
	token string
	mu    sync.Mutex
	files map[string][]byte
	said  []string // method, and status
}

func (a *artifactory) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	status := a.answer(rw, r, body)
	a.said = append(a.said, fmt.Sprintf("%s %d", r.Method, status))
}

func (a *artifactory) answer(rw http.ResponseWriter, r *http.Request, body []byte) int {
	say := func(status int, text string) int {
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, text)
		return status
	}
	if r.Header.Get("Authorization") != "Bearer "+a.token {
		return say(401, `{"errors":[{"status":401,"message":"Bad credentials"}]}`)
	}
	wanted := r.Header.Get("X-Checksum-Sha256")
	switch file, known := a.files[r.URL.Path]; {
	case r.Method == http.MethodGet && !known:
		return say(404, `{"errors":[{"status":404,"message":"File not found."}]}`)
	case r.Method == http.MethodGet:
		rw.Header().Set("X-Checksum-Sha256", sum(file))
		return say(200, string(file))
	case r.Method != http.MethodPut:
		return say(405, "")
	case r.Header.Get("X-Checksum-Deploy") == "true":
		for _, have := range a.files {
			if sum(have) == wanted {
				a.files[r.URL.Path] = have
				return say(201, `{"checksums":{"sha256":"`+wanted+`"}}`)
			}
		}
		return say(404, `{"errors":[{"status":404,"message":"Checksum deploy failed. No existing file with that checksum"}]}`)
	case wanted != "" && wanted != sum(body):
		return say(409, `{"errors":[{"status":409,"message":"Checksum mismatch"}]}`)
	}
	a.files[r.URL.Path] = body
	return say(201, `{"checksums":{"sha256":"`+sum(body)+`"}}`)
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// program builds a program from a module file under tools/.
func program(t *testing.T, dir, of string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(dir))
	err := errors.New("not tried")
	for range 2 { // a download may hang
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, of)
		cmd.Dir, cmd.Env = filepath.Join(moduleRoot, dir), append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
		cmd.WaitDelay = 5 * time.Second
		var out []byte
		out, err = cmd.CombinedOutput()
		cancel()
		if err == nil {
			return path
		}
		err = fmt.Errorf("%s of %s can't be built: %w\n%s", of, dir, err, out)
	}
	t.Fatal(err)
	return ""
}

// registry starts a real registry with an account, and returns its address.
func registry(t *testing.T, user, password string) string {
	t.Helper()
	cmd := exec.Command(program(t, "tools/registry", "."))
	cmd.Env = append(os.Environ(), "REGISTRY_USER="+user, "REGISTRY_PASSWORD="+password)
	stdin, err := cmd.StdinPipe()
	check(t, err)
	stdout, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	check(t, err)
	return strings.TrimSpace(line)
}

// elsewhere are the systems that jobs upload to, as they reach them.
type elsewhere struct {
	*testing.T
	bin    rig.Binaries
	cid    *rig.Cid
	jobs   map[string]string // of the guide, by name
	hidden []string          // what no console may show
}

// reachable is an address of this machine that leads to one of its loopback.
func reachable(t *testing.T, address string) string {
	t.Helper()
	p, err := rig.NewProxy("0.0.0.0", "tcp", address, nil)
	check(t, err)
	t.Cleanup(func() { check(t, p.Close()) })
	host, err := rig.HostIP()
	check(t, err)
	_, port, err := net.SplitHostPort(p.Addr)
	check(t, err)
	return net.JoinHostPort(host, port)
}

// ci runs the command line with a text as its standard input.
func (e *elsewhere) ci(in string, line ...string) {
	e.Helper()
	cmd := exec.CommandContext(e.Context(), e.bin.Path("ci"), line...)
	cmd.Env = append(os.Environ(), "CI_URL="+e.cid.URL, "CI_TOKEN="+e.cid.Token, "HOME="+e.TempDir())
	cmd.Stdin = strings.NewReader(in)
	if out, err := cmd.CombinedOutput(); err != nil {
		e.Fatalf("ci %v: %v\n%s", line, err, out)
	}
}

// put makes a job of one of the guide's files.
func (e *elsewhere) put(job string, change *strings.Replacer, secrets map[string]string, parameters ...string) {
	e.Helper()
	text, ok := e.jobs[job]
	if !ok {
		e.Fatalf("the guide has no ci/%s.yaml", job)
	}
	if change != nil {
		text = change.Replace(text)
	}
	file := filepath.Join(e.TempDir(), job+".yaml")
	check(e.T, os.WriteFile(file, []byte(text), 0o644))
	line := []string{"job", "apply", job, "--freestyle", file}
	for _, p := range parameters {
		line = append(line, "--param", p)
	}
	e.ci("", line...)
	for name, value := range secrets {
		e.ci(value, "secret", "set", job, name)
	}
}

// run runs a job and returns its outcome and its console, which shows no secret.
func (e *elsewhere) run(job string) (outcome, console string, id int64) {
	e.Helper()
	api := e.cid.Client()
	run, err := api.Trigger(e.Context(), job)
	check(e.T, err)
	run, err = api.Wait(e.Context(), job, run.ID, patience)
	check(e.T, err)
	answer, err := api.Do(e.Context(), "GET", fmt.Sprintf("/jobs/%s/runs/%d/results/console", job, run.ID), nil)
	check(e.T, err)
	for _, secret := range e.hidden {
		if strings.Contains(string(answer.Body), secret) {
			e.Errorf("the console of %s shows %q:\n%s", job, secret, answer.Body)
		}
	}
	return run.Outcome, string(answer.Body), run.ID
}

func (e *elsewhere) succeeds(job string) (id int64) {
	e.Helper()
	outcome, console, id := e.run(job)
	if outcome != "succeeded" {
		e.Fatalf("%s %s:\n%s", job, outcome, console)
	}
	return id
}

// TestArtifactsElsewhere runs the job files of docs/guides/artifacts.md against
// a real S3 server, a real registry, and a server that follows Artifactory's API.
func TestArtifactsElsewhere(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts real servers and containers")
	}
	t.Parallel()
	e := &elsewhere{T: t, jobs: map[string]string{}, hidden: []string{s3server.SecretKey, "pass \"word\\ of the registry", "token-of-artifactory", "wrong-token"}}
	text, err := os.ReadFile(filepath.Join(moduleRoot, "docs", "guides", "artifacts.md"))
	check(t, err)
	for _, block := range jobBlock.FindAllStringSubmatch(string(text), -1) {
		e.jobs[block[1]] = block[2]
	}
	s3 := s3server.Start(t)
	s3.Bucket(t, "artifacts")
	s3At := reachable(t, s3.Endpoint)
	registryAt := reachable(t, registry(t, "tester", e.hidden[1]))
	a := &artifactory{token: e.hidden[2], files: map[string][]byte{}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	artifactoryAt := reachable(t, strings.TrimPrefix(server.URL, "http://"))

	ctx := t.Context()
	e.bin, err = rig.Build(ctx, t.TempDir())
	check(t, err)
	var ports []string
	for _, at := range []string{s3At, registryAt, artifactoryAt} {
		_, port, _ := net.SplitHostPort(at)
		ports = append(ports, port)
	}
	e.cid, err = rig.NewCid(e.bin, filepath.Join(t.TempDir(), "cid"), os.Environ(), "--agent-reach", strings.Join(ports, ","))
	check(t, err)
	t.Cleanup(func() { check(t, e.cid.End(context.Background())) })
	check(t, e.cid.Start(ctx))

	e.toS3(s3, s3At)
	e.toRegistry(registryAt)
	e.toArtifactory(a, artifactoryAt)
}

func (e *elsewhere) toS3(s3 *s3server.Server, at string) {
	const job = "upload-s3"
	e.put(job, nil, map[string]string{"S3_ACCESS_KEY": s3server.AccessKey, "S3_SECRET_KEY": s3server.SecretKey}, "S3_URL=http://"+at, "S3_REGION="+s3server.Region)
	id := e.succeeds(job)
	want := fmt.Sprintf("%s/%d/app.txt", job, id)
	if keys := s3.Keys(e.T, "artifacts"); len(keys) != 1 || keys[0] != want {
		e.Errorf("the bucket holds %q, not %s", keys, want)
	}
	e.ci("another-secret-key", "secret", "set", job, "S3_SECRET_KEY")
	if outcome, console, _ := e.run(job); outcome != "failed" || !strings.Contains(console, "SignatureDoesNotMatch") {
		e.Errorf("with a wrong key it %s:\n%s", outcome, console)
	}
}

func (e *elsewhere) toRegistry(at string) {
	const job = "push-image"
	docker, err := rig.OpenDocker()
	check(e.T, err)
	crane := program(e.T, "tools/crane", "github.com/google/go-containerregistry/cmd/crane")
	image, err := docker.Image(e.Context(), "ci-e2e", rig.Contents{
		Programs: []string{crane}, Config: []string{"ENV PATH=" + filepath.Dir(crane) + ":/bin"},
	})
	check(e.T, err)
	e.Cleanup(func() { check(e.T, docker.RemoveImage(context.Background(), image)) })
	host := strings.NewReplacer(".", "_", ":", "_").Replace(at)
	change := strings.NewReplacer("gcr.io/go-containerregistry/crane:debug", image, "REGISTRY_EXAMPLE_COM", host, "registry.example.com", at, "  crane ", "  crane --insecure ")
	e.put(job, change, map[string]string{"REGISTRY_USERNAME_" + host: "tester", "REGISTRY_PASSWORD_" + host: e.hidden[1]})
	id := e.succeeds(job)
	_, console, _ := e.run(job)
	if !strings.Contains(console, "built by "+job) {
		e.Errorf("what was pushed does not come back:\n%s", console)
	}
	req, err := http.NewRequestWithContext(e.Context(), http.MethodGet, fmt.Sprintf("http://%s/v2/team/app/manifests/%d", at, id), nil)
	check(e.T, err)
	req.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json")
	for password, want := range map[string]int{e.hidden[1]: 200, "": 401} {
		req.SetBasicAuth("tester", password)
		res, err := http.DefaultClient.Do(req)
		check(e.T, err)
		check(e.T, res.Body.Close())
		if res.StatusCode != want {
			e.Errorf("the registry answers %s, not %d", res.Status, want)
		}
	}
	e.ci("wrong", "secret", "set", job, "REGISTRY_PASSWORD_"+host)
	if outcome, console, _ := e.run(job); outcome != "failed" || !strings.Contains(console, "401 Unauthorized") {
		e.Errorf("with a wrong password it %s:\n%s", outcome, console)
	}
}

func (e *elsewhere) toArtifactory(a *artifactory, at string) {
	const job = "upload-artifactory"
	e.put(job, nil, map[string]string{"ARTIFACTORY_TOKEN": e.hidden[2]}, "ARTIFACTORY_URL=http://"+at)
	id := e.succeeds(job)
	a.mu.Lock()
	said, got := strings.Join(a.said, ", "), string(a.files[fmt.Sprintf("/libs-release-local/team/app/%d/app.txt", id)])
	a.mu.Unlock()
	if want := fmt.Sprintf("built by %s/%d\n", job, id); got != want || said != "PUT 404, PUT 201, GET 200" {
		e.Errorf("stored is %q, not %q; it said %s", got, want, said)
	}
	e.ci("wrong-token", "secret", "set", job, "ARTIFACTORY_TOKEN")
	if outcome, console, _ := e.run(job); outcome != "failed" || !strings.Contains(console, "Bad credentials") {
		e.Errorf("with a wrong token it %s:\n%s", outcome, console)
	}
}
