package docker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/stretchr/testify/require"
)

// hosted is a real registry on the loopback address, which engines allow
// without TLS.
type hosted struct {
	host    string
	account accounts // nil: open to everybody
}

// registryProgram builds it from its own module file.
var registryProgram = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(toolbox), "registry")
	err := errors.New("not tried")
	for range 2 { // a download may hang
		if err = buildRegistry(path); err == nil {
			break
		}
	}
	return path, err
})

func buildRegistry(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, ".")
	cmd.Dir = "../../tools/registry"
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("the registry for tests can't be built: %w: %s", err, out)
	}
	return nil
}

// newRegistry starts one. With a password it asks for an account.
func newRegistry(t *testing.T, password string) *hosted {
	t.Helper()
	program, err := registryProgram()
	require.NoError(t, err)
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	if password != "" {
		cmd.Env = append(os.Environ(), "REGISTRY_USER=tester", "REGISTRY_PASSWORD="+password)
	}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	r := &hosted{host: strings.TrimSpace(line)}
	if password != "" {
		r.account = accounts{{Host: r.host, Username: "tester", Password: password}}
	}
	return r
}

// put pushes an image that the engine has, under a name of the registry, and
// returns its digest.
func (r *hosted) put(t *testing.T, local, name string) string {
	t.Helper()
	ref := r.host + "/" + name
	named, err := parseImage(ref)
	require.NoError(t, err)
	require.NoError(t, engine.ImageTag(t.Context(), local, ref))
	defer func() {
		_, err := engine.ImageRemove(context.Background(), ref, dockerimage.RemoveOptions{})
		require.NoError(t, err)
	}()
	auth := noAccount
	if header := r.account.header(named); header != "" {
		auth = header
	}
	answer, err := engine.ImagePush(t.Context(), ref, dockerimage.PushOptions{RegistryAuth: auth})
	require.NoError(t, err)
	require.NoError(t, drain(answer))
	return r.digest(t, name)
}

// digest asks the registry itself; "" says that it has no such image.
func (r *hosted) digest(t *testing.T, name string) string {
	t.Helper()
	repository, tag, _ := strings.Cut(name, ":")
	req, err := http.NewRequestWithContext(context.Background(), http.MethodHead, fmt.Sprintf("http://%s/v2/%s/manifests/%s", r.host, repository, tag), nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json")
	if r.account != nil {
		req.SetBasicAuth(r.account[0].Username, r.account[0].Password)
	}
	answer, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return ""
	}
	require.Equal(t, http.StatusOK, answer.StatusCode)
	return answer.Header.Get("Docker-Content-Digest")
}
