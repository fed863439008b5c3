package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"ci/pkg/ci"
)

// socketName is where a ci-agent listens for words to itself, in its data
// folder. Only its own user gets there.
const socketName = "agent.sock"

// Controlled is an agent that hears words to its own process.
type Controlled interface {
	Agent
	// Leave drains it with words of somebody, and ends it; see agentd.Agent.
	Leave(d ci.Drain)
	// Draining says how its drain stands; nil when it takes runs.
	Draining() *ci.Drain
}

// drainDoc is a drain as JSON, in the shape that the API gives it.
type drainDoc struct {
	Reason   string    `json:"reason,omitempty"`
	Deadline time.Time `json:"deadline,omitzero"` // in a request: of the clock of this machine
	Then     string    `json:"then,omitempty"`
	By       string    `json:"by,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Leaving  bool      `json:"leaving"`
	Runs     []int64   `json:"runs"`
	Drained  bool      `json:"drained"`
}

func document(d ci.Drain) drainDoc {
	return drainDoc{
		Reason: d.Reason, Deadline: d.Deadline, Then: string(d.Then), By: d.By, Since: d.Since,
		Leaving: d.Leaving, Runs: slices.Concat([]int64{}, d.Runs), Drained: d.Drained(),
	}
}

// door is the agent's own socket: GET and PUT /drain, as at the API, but for
// this process, which ends when it is drained. It is there from the process's
// beginning to its very end, so that whoever waits can tell both.
type door struct {
	mu     sync.Mutex
	agent  Controlled // nil until it is made
	server http.Server
	served sync.WaitGroup
}

// openDoor listens in the data folder. A socket that a killed process left is replaced.
func openDoor(dir string) (*door, error) {
	if err := knock(dir); err == nil {
		return nil, fmt.Errorf("another ci-agent serves the folder %s; give each its own --data", dir)
	}
	path := filepath.Join(dir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var l net.Listener
	err := inFolder(dir, func(short string) (err error) {
		l, err = new(net.ListenConfig).Listen(context.Background(), "unix", short)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the agent's socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // by the short path; close removes it
	d := &door{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /drain", d.show)
	mux.HandleFunc("PUT /drain", d.drain)
	d.server = http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	d.served.Go(func() { _ = d.server.Serve(l) })
	return d, nil
}

// inFolder gives fn a path to the agent's socket that is short enough: a
// socket's path has at most 107 bytes, a folder's may have more.
func inFolder(dir string, fn func(path string) error) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return fn(filepath.Join("/proc/self/fd", strconv.Itoa(int(f.Fd())), socketName))
}

// knock connects to the agent of a folder, and says why that can't be.
func knock(dir string) error {
	conn, err := dialDoor(context.Background(), dir)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

func dialDoor(ctx context.Context, dir string) (conn net.Conn, err error) {
	err = inFolder(dir, func(path string) (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", path)
		return err
	})
	return conn, err
}

// close is the last that the process does.
func (d *door) close(dir string) error {
	err := d.server.Close()
	d.served.Wait()
	return errors.Join(err, os.Remove(filepath.Join(dir, socketName)))
}

// lead brings those who come to the agent.
func (d *door) lead(a Controlled) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.agent = a
}

func (d *door) inside(w http.ResponseWriter) Controlled {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.agent == nil {
		http.Error(w, "the agent is starting; try again", http.StatusServiceUnavailable)
	}
	return d.agent
}

func (d *door) show(w http.ResponseWriter, _ *http.Request) {
	a := d.inside(w)
	if a == nil {
		return
	}
	now := a.Draining()
	if now == nil {
		http.Error(w, "the agent takes runs", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document(*now))
}

// drain makes the agent leave. Repeating it changes nothing: what was said first counts.
func (d *door) drain(w http.ResponseWriter, r *http.Request) {
	var doc drainDoc
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	in.DisallowUnknownFields()
	if err := in.Decode(&doc); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	order := ci.Drain{Reason: doc.Reason, Deadline: doc.Deadline, Then: ci.DrainThen(doc.Then), By: "ci-agent drain"}
	if err := order.Validate(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := d.inside(w)
	if a == nil {
		return
	}
	d.mu.Lock()
	if now := a.Draining(); now == nil || !now.Leaving {
		a.Leave(order)
	}
	d.mu.Unlock()
	d.show(w, r)
}
