package runner

import (
	"io"
	"slices"
	"sync"
	"time"

	"ci/pkg/ci"
)

// maxSteps bounds what is recorded of a run's preparation.
const maxSteps = 200

// story collects what the driver tells about a run, for its end.
type story struct {
	say  func(format string, args ...any)
	logs *serviceLogs

	mu     sync.Mutex
	steps  []ci.Step
	images []ci.RunImage
}

var _ Teller = (*story)(nil)

// Step implements Teller.
func (s *story) Step(name string) func(string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.steps) >= maxSteps {
		return func(string) {}
	}
	i, began := len(s.steps), time.Now()
	s.steps = append(s.steps, ci.Step{Name: name, Began: began.UTC()})
	return func(detail string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.steps[i].Took, s.steps[i].Detail = ci.Duration(time.Since(began)), printable(detail)
	}
}

// Image implements Teller.
func (s *story) Image(im ci.RunImage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.images) < maxSteps {
		s.images = append(s.images, im)
	}
}

// Say implements Teller.
func (s *story) Say(line string) { s.say("%s", line) }

// ServiceLog implements Teller. All that services print passes here.
func (s *story) ServiceLog(service string) io.Writer { return s.logs.open(service) }

// end fills in what was told.
func (s *story) end(e *ci.End) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Steps, e.Images = slices.Clone(s.steps), slices.Clone(s.images)
}
