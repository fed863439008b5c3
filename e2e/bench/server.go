package main

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
	"strconv"
	"strings"
	"syscall"
	"time"

	"ci/e2e/rig"
)

// server is a cid of its own, on a temporary folder.
type server struct {
	url, token string
	dir        string
	cmd        *exec.Cmd
	http       *http.Client
	ready      time.Duration // from start to a ready answer
}

// start runs cid and waits until it is ready. dir "" makes a temporary folder.
func (b *bench) start(ctx context.Context, dir string, args ...string) (*server, error) {
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "ci-bench-"); err != nil {
			return nil, err
		}
	}
	addr, err := rig.FreeAddr()
	if err != nil {
		return nil, err
	}
	logFile, err := os.Create(filepath.Join(dir, "cid.log"))
	if err != nil {
		return nil, err
	}
	s := &server{url: "http://" + addr, dir: dir, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
	s.cmd = exec.CommandContext(ctx, filepath.Join(b.bin, "cid"), append([]string{"--data", dir, "--listen", addr}, args...)...)
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.Stdout, s.cmd.Stderr = logFile, logFile
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w; run make build first", err)
	}
	for {
		r, err := s.http.Get(s.url + "/readyz")
		if err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Since(began) > 20*time.Second {
			s.stop()
			return nil, fmt.Errorf("cid is not ready after 20 s; see %s", logFile.Name())
		}
		time.Sleep(2 * time.Millisecond) // polling a process from outside is the only way here
	}
	s.ready = time.Since(began)
	token, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	s.token = strings.TrimSpace(string(token))
	return s, err
}

// stop ends cid and removes its folder.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(30*time.Second, func() { _ = s.cmd.Process.Kill() })
	_ = s.cmd.Wait()
	kill.Stop()
	_ = os.RemoveAll(s.dir)
}

// call sends a JSON request and decodes the answer into out, which may be nil.
func (s *server) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if in == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	r, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, r.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// run is what the figures need of a run's answer.
type run struct {
	ID      int    `json:"id"`
	Status  string `json:"status"`
	Phase   string `json:"phase"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"`
	Times   struct {
		Triggered time.Time `json:"triggered"`
		Claimed   time.Time `json:"claimed"`
	} `json:"times"`
	Console struct {
		Bytes  float64 `json:"bytes"`
		SHA256 string  `json:"sha256"`
	} `json:"console"`
}

func (s *server) putJob(ctx context.Context, name, script string) error {
	return s.call(ctx, "PUT", "/jobs/"+name, map[string]any{"freestyle": map[string]any{"script": script}}, nil)
}

func (s *server) trigger(ctx context.Context, job string) (r run, err error) {
	err = s.call(ctx, "POST", "/jobs/"+job+"/runs", map[string]any{}, &r)
	return r, err
}

// wait returns the run once it is done.
func (s *server) wait(ctx context.Context, job string, id int) (r run, err error) {
	for r.Status != "done" {
		if err := s.call(ctx, "GET", fmt.Sprintf("/jobs/%s/runs/%d?wait=60s&until=done", job, id), nil, &r); err != nil {
			return r, err
		}
	}
	if r.Outcome != "succeeded" {
		return r, fmt.Errorf("run %d: %s: %s", id, r.Outcome, r.Reason)
	}
	return r, nil
}

// memory reads a line of the process's status, in MiB: "VmRSS" now, "VmHWM" its peak.
func (s *server) memory(line string) (float64, error) { return memoryOf(s.cmd.Process.Pid, line) }

// memoryOf is memory for any process.
func memoryOf(pid int, line string) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(b)) {
		if name, v, ok := strings.Cut(l, ":"); ok && name == line {
			kib, err := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc", line)
}
