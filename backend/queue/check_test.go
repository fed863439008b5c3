package queue

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAtLeast(t *testing.T) {
	t.Parallel()
	for version, ok := range map[string]bool{"2.9.10": false, "2.11.99": false, "2.12.0": true, "2.15.2-RC.1": true, "3.0": true, "": false, "x.y": false} {
		require.Equal(t, ok, AtLeast(version, 2, 12), version)
	}
}
