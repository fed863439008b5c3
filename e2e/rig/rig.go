// Package rig is what end-to-end tests stand on: the real binaries, started as
// processes on free ports and folders of their own; git servers, a recorder
// that jobs report to, and a look at what is in Docker.
//
// Tests share one Docker engine with others, so nothing here looks at objects
// of agents that it did not name itself.
package rig

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Binaries is the folder with ci, cid and ci-agent.
type Binaries string

// Build builds the three programs into dir, or takes those of $CI_BIN.
func Build(ctx context.Context, dir string) (Binaries, error) {
	if given := os.Getenv("CI_BIN"); given != "" {
		return Binaries(given), nil
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), "./cmd/ci", "./cmd/cid", "./cmd/ci-agent")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return Binaries(dir), nil
}

// Path is where one of the programs is.
func (b Binaries) Path(name string) string { return filepath.Join(string(b), name) }

// Root is the module's folder.
func Root() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("no go.mod in this folder or above it")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// Answers says why a URL does not answer with 200 yet; nil when it does.
func Answers(url string) error {
	r, err := http.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, r.Status)
	}
	return nil
}

// HostIP is an address of this machine that containers reach: one that is not
// loopback. It is of this machine whatever network a container is in.
func HostIP() (string, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			return n.IP.String(), nil
		}
	}
	return "", errors.New("this machine has no IPv4 address but loopback; containers could not reach the recorder")
}

// Random is a short random text for names.
func Random() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Poll calls look until it says that it is content, and returns what it last
// complained of when the time is over.
func Poll(ctx context.Context, limit time.Duration, look func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	wait := time.NewTicker(20 * time.Millisecond)
	defer wait.Stop()
	for {
		err := look()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", limit, err)
		case <-wait.C:
		}
	}
}

// tail is the end of a log, for a failure's message.
func tail(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
