package docker

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"

	"ci/agentd/runner"
	"ci/pkg/ci"
)

// listener is a Teller that keeps what it is told.
type listener struct {
	mu     sync.Mutex
	steps  map[string]string // what came of each
	images []ci.RunImage
	said   []string
	logs   map[string]*bytes.Buffer
}

func (l *listener) Step(name string) func(string) {
	return func(detail string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.steps == nil {
			l.steps = map[string]string{}
		}
		l.steps[name] = detail
	}
}

func (l *listener) Image(im ci.RunImage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.images = append(l.images, im)
}

func (l *listener) Say(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, line)
}

func (l *listener) ServiceLog(name string) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.logs == nil {
			l.logs = map[string]*bytes.Buffer{}
		}
		if l.logs[name] == nil {
			l.logs[name] = &bytes.Buffer{}
		}
		return l.logs[name].Write(p)
	})
}

func (l *listener) log(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logs[name] == nil {
		return ""
	}
	return l.logs[name].String()
}

func (l *listener) heard(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.said, func(s string) bool { return strings.Contains(s, text) })
}

func (l *listener) step(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.steps[name]
}

// with adds services to a run in busyBase.
func with(services ...ci.Service) func(*runner.Order) {
	return func(o *runner.Order) {
		o.Spec.Environment.Image = busyBase
		for _, s := range services {
			if s.Image == "" {
				s.Image = sidecarBase
			}
			o.Spec.Services = append(o.Spec.Services, s)
		}
	}
}

func toldTo(l *listener) func(*runner.Order) { return func(o *runner.Order) { o.Tell = l } }

// web is a service that serves its file system on port 8080.
func web(name string, change ...func(*ci.Service)) ci.Service {
	s := ci.Service{Name: name, Command: []string{"httpd", "-f", "-vv", "-p", "8080", "-h", "/"}}
	for _, c := range change {
		c(&s)
	}
	return s
}

func shell(name, script string, change ...func(*ci.Service)) ci.Service {
	s := ci.Service{Name: name, Command: []string{"sh", "-c", script}, Healthcheck: &ci.Healthcheck{Disable: true}}
	for _, c := range change {
		c(&s)
	}
	return s
}

func dependsOn(name string, condition ci.Condition) func(*ci.Service) {
	return func(s *ci.Service) {
		s.DependsOn = append(s.DependsOn, ci.Dependency{Service: name, Condition: condition})
	}
}

func health(h ci.Healthcheck) func(*ci.Service) {
	return func(s *ci.Service) { s.Healthcheck = &h }
}

// port has a service be up when these take connections.
func port(ports ...string) func(*ci.Service) {
	return func(s *ci.Service) { s.Ports = ports }
}

// still is up when it has started: it names a port that can't be asked.
var still = port("1/udp")
