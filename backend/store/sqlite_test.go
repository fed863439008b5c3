package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

// writeForever names the file to which this test program, as a child, writes
// runs, printing each id once it was answered.
const writeForever = "CI_STORETEST_WRITE_FOREVER"

func TestMain(m *testing.M) {
	if url := os.Getenv(writeForever); url != "" {
		if err := printRuns(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func printRuns(url string) error {
	s, err := store.Open(context.Background(), url, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for {
				id, err := insert(context.Background(), s)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Println(id)
			}
		})
	}
	wg.Wait()
	return nil
}

// insert records a run and its event.
func insert(ctx context.Context, s *store.Store) (int64, error) {
	r := &ci.Run{Job: "x", Status: ci.StatusInProgress, Phase: ci.PhaseQueued}
	err := s.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.InsertRun(ctx, r); err != nil {
			return err
		}
		return tx.AddEvent(ctx, &ci.Event{Type: ci.EventRunTriggered, Run: r.ID, At: s.Now()})
	})
	return r.ID, err
}

// killed kills writing processes again and again: what was answered is
// there, each run has its event, and the file is sound.
func killed(t *testing.T) {
	url := file(t)
	var answered []int64
	for i := range 5 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), writeForever+"="+url)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if id, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil {
				answered = append(answered, id)
			}
			if n == 50+37*i {
				require.NoError(t, child.Process.Kill())
			}
		}
		_ = child.Wait()
	}
	require.Greater(t, len(answered), 500)
	s := open(t, url)
	for _, id := range answered {
		_, err := s.GetRun(t.Context(), "", id)
		require.NoError(t, err)
	}
	sound(t, url)
}

// sound checks the file itself, and that no transaction is there by halves.
func sound(t *testing.T, url string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(url, "sqlite:"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var verdict string
	require.NoError(t, db.QueryRow("PRAGMA integrity_check").Scan(&verdict))
	require.Equal(t, "ok", verdict)
	var halves int
	require.NoError(t, db.QueryRow("SELECT COUNT(*) FROM runs WHERE id NOT IN (SELECT run FROM events)").Scan(&halves))
	require.Zero(t, halves)
}

// twoProcesses writes to one file from two stores: they wait for each other.
func twoProcesses(t *testing.T) {
	url := file(t)
	stores := []*store.Store{open(t, url), open(t, url)}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for range 20 {
				if _, err := insert(t.Context(), stores[i%2]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	sound(t, url)
	last, err := stores[1].LastEvent(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(400), last)
}

// diskFull caps the file's size: writers get a sentence, what was answered
// stays, and all goes on once there is room.
func diskFull(t *testing.T) {
	url := file(t)
	s := open(t, url)
	capPages := func(n int) {
		require.NoError(t, s.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, "PRAGMA max_page_count = "+strconv.Itoa(n))
			return err
		}))
	}
	capPages(150)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var answered []int64
	full := 0
	for range 20 {
		wg.Go(func() {
			for range 200 {
				id, err := insert(t.Context(), s)
				mu.Lock()
				switch ci.CodeOf(err) {
				case "":
					answered = append(answered, id)
				case ci.CodeUnavailable:
					full++
				default:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.NotZero(t, full)
	require.NotEmpty(t, answered)
	_, err := insert(t.Context(), s)
	require.ErrorContains(t, err, "disk of the database is full")
	for _, id := range answered {
		_, err := s.GetRun(t.Context(), "", id)
		require.NoError(t, err)
	}
	capPages(1 << 20)
	_, err = insert(t.Context(), s)
	require.NoError(t, err)
	sound(t, url)
}

func readOnly(t *testing.T) {
	s := open(t, file(t))
	require.NoError(t, s.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, "PRAGMA query_only = 1")
		return err
	}))
	_, err := insert(t.Context(), s)
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	require.ErrorContains(t, err, "read-only")
}

// waitingIsLeft gives up while another transaction has the writer.
func waitingIsLeft(t *testing.T) {
	s := open(t, file(t))
	busy, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = s.Write(t.Context(), func(context.Context, *store.Tx) error { close(busy); <-release; return nil })
	})
	<-busy
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := insert(ctx, s)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	close(release)
	wg.Wait()
	_, err = insert(t.Context(), s)
	require.NoError(t, err)
}

// goexit ends a transaction's goroutine in the middle, as a failing test does.
func goexit(t *testing.T, url string) {
	s := open(t, url)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = s.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_ = tx.InsertRun(ctx, &ci.Run{Job: "x"})
			runtime.Goexit()
			return nil
		})
	})
	wg.Wait()
	_, err := insert(t.Context(), s)
	require.NoError(t, err)
	runs, err := s.ListRuns(t.Context(), ci.RunFilter{}, 9)
	require.NoError(t, err)
	require.Len(t, runs, 1)
}
