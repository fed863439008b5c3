package runner_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"ci/agentd/fake"
)

func TestNotesAreSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		row := play(t, "print hello", func(b *fake.Backend) { b.Notes = []string{"`ports` of db: nothing is published", "100% `x`"} }).wait()
		require.Equal(t, "ci: `ports` of db: nothing is published\nci: 100% `x`\nhello\n", string(row.Console))
	})
}
