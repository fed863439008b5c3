package docker

import (
	"context"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// count is how many wait for anything.
func (s *sharing) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, j := range s.all {
		n += len(j.waiting)
	}
	return n
}

// A run that wants the same thing twice at once reads once how it is made.
func TestSharingWithOneself(t *testing.T) {
	t.Parallel()
	var s sharing
	var one, two output
	goOn := make(chan struct{})
	work := func(_ context.Context, out io.Writer) error {
		<-goOn
		_, err := io.WriteString(out, "made\n")
		return err
	}
	var calls sync.WaitGroup
	for _, console := range []*output{&one, &one, &two} {
		before := s.count()
		calls.Go(func() { assert.NoError(t, s.do(t.Context(), "x", console, work)) })
		eventually(t, func() bool { return s.count() == before+1 }, "the call takes part")
	}
	close(goOn)
	calls.Wait()
	require.Equal(t, "made\n", one.String())
	require.Equal(t, "made\n", two.String())
}
