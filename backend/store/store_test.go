package store_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/backend/store/storetest"
	"ci/backend/store/storetest/postgres"
)

func open(t testing.TB, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func file(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "ci.db") }

// both are the tests of either engine; url names an empty database.
func both(url func(t *testing.T) string) map[string]func(t *testing.T) {
	suite := func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) *store.Store { return open(t, url(t)) })
	}
	return map[string]func(t *testing.T){
		"suite":                 suite,
		"open together":         func(t *testing.T) { openTogether(t, url(t)) },
		"refuse a newer schema": func(t *testing.T) { newerSchema(t, url(t)) },
		"origins of old runs":   func(t *testing.T) { originsOfOldRuns(t, url(t)) },
		"closed":                func(t *testing.T) { closed(t, url(t)) },
		"goexit":                func(t *testing.T) { goexit(t, url(t)) },
	}
}

func run(t *testing.T, tests map[string]func(t *testing.T)) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	run(t, both(func(t *testing.T) string { return file(t) }))
	run(t, map[string]func(t *testing.T){
		"killed": killed, "two processes": twoProcesses, "disk full": diskFull,
		"read-only": readOnly, "waiting is left": waitingIsLeft,
	})
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	server := postgres.Start(t)
	run(t, both(func(t *testing.T) string { return server.Database(t) }))
	run(t, map[string]func(t *testing.T){
		"connections cut":    func(t *testing.T) { connectionsCut(t, server) },
		"black hole":         func(t *testing.T) { blackHole(t, server) },
		"restored elsewhere": func(t *testing.T) { restoredElsewhere(t, server) },
		"deadlock":           func(t *testing.T) { deadlock(t, server) },
	})
}
