package rig

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Recorder notes what jobs say while they run, outside of everything that is
// under test. A job says a word by asking for it with git, which every job
// has: `git ls-remote "$RECORDER/word" || true` sends one GET of
// /word/info/refs, and is told that there is no such repository. What begins
// with "gate/" is told so once Open was called for the rest of the word: a
// script can be held where a test wants it, without any sleep.
type Recorder struct {
	// URL is what containers reach it by.
	URL string
	// Port is its part that agents have to leave open to jobs.
	Port   string
	server *http.Server
	done   chan struct{}

	mu    sync.Mutex
	words []string
	gates map[string]chan struct{}
}

// NewRecorder listens on all addresses of the machine: containers come from bridges.
func NewRecorder() (*Recorder, error) {
	ip, err := HostIP()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		return nil, err
	}
	r := &Recorder{done: make(chan struct{}), gates: map[string]chan struct{}{}}
	r.Port = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	r.URL = "http://" + net.JoinHostPort(ip, r.Port)
	r.server = &http.Server{Handler: http.HandlerFunc(r.record)}
	go func() {
		defer close(r.done)
		_ = r.server.Serve(l) // ends with Close
	}()
	return r, nil
}

func (r *Recorder) record(w http.ResponseWriter, req *http.Request) {
	word, ok := strings.CutSuffix(strings.TrimPrefix(req.URL.Path, "/"), "/info/refs")
	if ok {
		r.mu.Lock()
		r.words = append(r.words, word)
		r.mu.Unlock()
	}
	if name, ok := strings.CutPrefix(word, "gate/"); ok {
		select {
		case <-r.gate(name):
		case <-req.Context().Done():
		}
	}
	http.NotFound(w, req)
}

func (r *Recorder) gate(name string) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gates[name] == nil {
		r.gates[name] = make(chan struct{})
	}
	return r.gates[name]
}

// Open lets everybody pass who waits, or will wait, at a gate. It is called once for each.
func (r *Recorder) Open(name string) { close(r.gate(name)) }

// Words is everything that was said, in the order of its arrival.
func (r *Recorder) Words() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.words)
}

// Close stops listening.
func (r *Recorder) Close() error {
	err := r.server.Close()
	<-r.done
	return err
}
