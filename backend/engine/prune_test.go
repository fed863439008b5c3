package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// Every sign-in leaves a token, so those are forgotten some days after their end.
func TestBriefTokensAreForgotten(t *testing.T) {
	w := setup(t)
	now := w.db.Now()
	put := func(id string, ended time.Duration) {
		end := now.Add(-ended)
		require.NoError(t, w.db.PutToken(w.ctx, &ci.Token{ID: id, Name: id, Role: ci.RoleRead, CreatedAt: end.Add(-12 * time.Hour), ExpiresAt: end}))
	}
	const day = 24 * time.Hour
	put("1", 30*day)
	put("2", 8*day)
	put("3", 6*day)
	w.loops()
	require.Eventually(t, func() bool {
		_, err := w.db.GetToken(w.ctx, "2")
		return code(err) == ci.CodeNotFound
	}, time.Minute, 10*time.Millisecond)
	for _, id := range []string{"1", "3"} {
		_, err := w.db.GetToken(w.ctx, id)
		require.NoError(t, err, "the first of a role, and one that has ended not long ago")
	}
}
