package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// accountFolder is where a kubelet mounts the token of a pod's service account.
const accountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"

// program is one of ours, out of $CI_BIN.
func program(t *testing.T, name string) string {
	t.Helper()
	bin := os.Getenv("CI_BIN")
	require.NotEmpty(t, bin, "the folder with cid and ci-agent; run: make test-kubernetes")
	return filepath.Join(bin, name)
}

// token is one of a pod's service account, as a kubelet asks for it.
func token(t *testing.T, pod corev1.Pod) string {
	t.Helper()
	got, err := server.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(t.Context(), pod.Spec.ServiceAccountName, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID,
		}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return got.Status.Token
}

// system is a real cid that stands for a pod of cid's.
type system struct {
	t     *testing.T
	url   string
	admin string
}

// newSystem starts cid with what a kubelet gives to its pod: the address of the
// API server, and in its own view of the file system the service account. Its
// database is in a folder, though, and not a Postgres.
func newSystem(t *testing.T, pod corev1.Pod) *system {
	t.Helper()
	account, data := t.TempDir(), t.TempDir()
	roots, err := server.CoreV1().ConfigMaps(pod.Namespace).Get(t.Context(), "kube-root-ca.crt", metav1.GetOptions{})
	require.NoError(t, err)
	for name, text := range map[string]string{"token": token(t, pod), "ca.crt": roots.Data["ca.crt"], "namespace": pod.Namespace} {
		require.NoError(t, os.WriteFile(filepath.Join(account, name), []byte(text), 0o600))
	}
	s := &system{t: t, url: "http://" + server.host + ":8080"}
	cmd := exec.Command("unshare", "--mount", "sh", "-ec",
		`mount -t tmpfs tmpfs "$(readlink -f /var/run)"; mkdir -p `+accountFolder+`; cp "$1"/* `+accountFolder+`; shift; exec "$@"`, "-",
		account, program(t, "cid"), "--data", data, "--listen", server.host+":8080", "--agent", "off", "--pod-costs", variable(t, pod, "CID_POD_COSTS"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + data, "KUBERNETES_SERVICE_HOST=" + server.host, "KUBERNETES_SERVICE_PORT=" + port}
	p := s.launch(cmd)
	eventually(t, func() error {
		select {
		case <-p.ended:
			t.Fatalf("cid has ended: %s", p.said())
		default:
		}
		answer, err := http.Get(s.url + "/readyz")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("cid is not ready: %s", answer.Status)
		}
		return nil
	})
	bearer, err := os.ReadFile(filepath.Join(data, "admin.token"))
	require.NoError(t, err)
	s.admin = strings.TrimSpace(string(bearer))
	return s
}

// launch starts a program that has to end in order at the end of the test.
func (s *system) launch(cmd *exec.Cmd) *process {
	s.t.Helper()
	p, err := launch(s.t.TempDir(), cmd)
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		require.NoError(s.t, p.end())
		if s.t.Failed() {
			s.t.Logf("%s: %s", p.name, p.said())
		}
	})
	return p
}

// call calls cid's API as its admin.
func (s *system) call(method, path string, in, out any) {
	s.t.Helper()
	status, text := s.ask(method, path, in)
	require.Less(s.t, status, 300, "%s %s: %s", method, path, text)
	if out != nil {
		require.NoError(s.t, json.Unmarshal(text, out), "%s", text)
	}
}

func (s *system) ask(method, path string, in any) (status int, text []byte) {
	s.t.Helper()
	var body bytes.Buffer
	if in != nil {
		require.NoError(s.t, json.NewEncoder(&body).Encode(in))
	}
	r, err := http.NewRequestWithContext(context.Background(), method, s.url+path, &body) // also while a test is cleaned up
	require.NoError(s.t, err)
	r.Header.Set("Authorization", "Bearer "+s.admin)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer answer.Body.Close()
	text, err = io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	return answer.StatusCode, text
}

// abort ends a run that may have ended already.
func (s *system) abort(job string, id int64) {
	s.t.Helper()
	s.ask(http.MethodPost, fmt.Sprintf("/jobs/%s/runs/%d/abort", job, id), map[string]any{})
}

// agent is a real ci-agent that stands for a pod of agents.
type agent struct {
	*process
	pod  corev1.Pod
	data string
}

// agent starts a pod's agent, with room for two runs.
func (s *system) agent(pod corev1.Pod) *agent {
	s.t.Helper()
	var made struct{ Bearer string }
	s.call(http.MethodPost, "/tokens", map[string]any{"name": pod.Name, "role": "agent"}, &made)
	a := &agent{pod: pod, data: s.t.TempDir()}
	file := filepath.Join(s.t.TempDir(), "token")
	require.NoError(s.t, os.WriteFile(file, []byte(made.Bearer), 0o600))
	require.Equal(s.t, "metadata.name", named(s.t, pod, "CI_AGENT_ID").ValueFrom.FieldRef.FieldPath)
	cmd := exec.Command(program(s.t, "ci-agent"), "--id", pod.Name, "--data", a.data, "--url", s.url, "--token-file", file,
		"--cpus", "2", "--memory", "4GiB", "--max-load", "1")
	a.process = s.launch(cmd)
	return a
}

// leave does what a kubelet does with a pod that was asked to leave: it runs the
// hook, and reports the end. The function that is returned waits for both.
func (s *system) leave(a *agent) (wait func()) {
	s.t.Helper()
	hook := a.pod.Spec.Containers[0].Lifecycle.PreStop.Exec.Command
	cmd := exec.Command(program(s.t, hook[0]), hook[1:]...)
	cmd.Env = append(os.Environ(), "CI_AGENT_DATA="+a.data)
	p := s.launch(cmd)
	return func() {
		s.t.Helper()
		<-p.ended
		require.True(s.t, p.ProcessState.Success(), p.said())
		<-a.ended
		require.True(s.t, a.ProcessState.Success(), a.said())
		end(s.t, a.pod)
	}
}

// trigger starts a run of a job and waits until an agent has it in hand.
func (s *system) trigger(job string) (id int64, agent string) {
	s.t.Helper()
	var made struct{ ID json.Number }
	s.call(http.MethodPost, "/jobs/"+job+"/runs", map[string]any{}, &made)
	id, err := made.ID.Int64()
	require.NoError(s.t, err)
	s.t.Cleanup(func() { s.abort(job, id) })
	eventually(s.t, func() error {
		var run struct{ Phase, Agent string }
		s.call(http.MethodGet, fmt.Sprintf("/jobs/%s/runs/%d", job, id), nil, &run)
		if run.Phase != "running" {
			return fmt.Errorf("run %d is %s", id, run.Phase)
		}
		agent = run.Agent
		return nil
	})
	return id, agent
}

// named is a variable of a pod's container, value is its text.
func named(t *testing.T, pod corev1.Pod, name string) corev1.EnvVar {
	t.Helper()
	for _, e := range pod.Spec.Containers[0].Env {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("%s has no %s", pod.Name, name)
	return corev1.EnvVar{}
}

func variable(t *testing.T, pod corev1.Pod, name string) string {
	t.Helper()
	return named(t, pod, name).Value
}

// image is one of busybox alone, which goes with the test.
func image(t *testing.T) string {
	t.Helper()
	name := "ci-charts:" + strings.ToLower(filepath.Base(t.TempDir())) + fmt.Sprint(os.Getpid())
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "bin"), 0o755))
	text, err := os.ReadFile("/bin/busybox")
	require.NoError(t, err, "install busybox-static")
	require.NoError(t, os.WriteFile(filepath.Join(root, "bin/busybox"), text, 0o755))
	for _, link := range []string{"sh", "sleep"} {
		require.NoError(t, os.Symlink("busybox", filepath.Join(root, "bin", link)))
	}
	out, err := exec.Command("sh", "-ec", `tar -C "$1" -c . | docker import --change "ENV PATH=/bin" - "$2"`, "-", root, name).CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(func() {
		out, err := exec.Command("docker", "rmi", name).CombinedOutput()
		require.NoError(t, err, string(out))
	})
	return name
}
