package scrollback

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func texts(lines []Line) []string {
	var out []string
	for _, l := range lines {
		out = append(out, string(l.Text))
	}
	return out
}

func TestLines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := New(dir, 1<<20)
	defer s.Close() //nolint:errcheck // a test's
	var want []string
	var b bytes.Buffer
	for i := range 1000 {
		want = append(want, fmt.Sprintf("line %d", i))
		fmt.Fprintf(&b, "line %d\n", i)
	}
	rest := b.Bytes()
	for len(rest) > 0 { // pieces cut anywhere
		n := min(len(rest), 1+rand.N(300))
		_, err := s.Write(rest[:n])
		require.NoError(t, err)
		rest = rest[n:]
	}
	first, end := s.Range()
	require.Equal(t, []int{0, 1000}, []int{first, end})
	for range 200 {
		from, n := rand.N(1000), 1+rand.N(200)
		got := s.Lines(from, n)
		require.Equal(t, want[from:min(1000, from+n)], texts(got))
		require.Equal(t, from, got[0].N)
	}
	require.Empty(t, s.Lines(1000, 10))

	_, err := s.Write([]byte("unfinished"))
	require.NoError(t, err)
	require.Equal(t, []string{"line 999", "unfinished"}, texts(s.Lines(999, 10)))
	_, err = s.Write([]byte(" now\nnext"))
	require.NoError(t, err)
	require.Equal(t, []string{"unfinished now", "next"}, texts(s.Lines(1000, 10)))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "the files have no names")
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	s := New(t.TempDir(), 1<<20)
	defer s.Close() //nolint:errcheck // a test's
	for _, n := range []int{MaxLine - 1, MaxLine, MaxLine + 1, 3 * MaxLine} {
		_, _ = s.Write([]byte(strings.Repeat("x", n) + "\n"))
	}
	var got []int
	for _, l := range s.Lines(0, 100) {
		got = append(got, len(l.Text))
	}
	_, end := s.Range()
	require.Len(t, got, end, "reading breaks lines where writing did")
	require.Equal(t, []int{MaxLine - 1, MaxLine, MaxLine, 1, MaxLine, MaxLine, MaxLine}, got)
}

func TestColours(t *testing.T) {
	t.Parallel()
	s := New(t.TempDir(), 1<<20)
	defer s.Close() //nolint:errcheck // a test's
	_, _ = s.Write([]byte("a \x1b[31mred\nstill red \x1b[1m\nboth\x1b[0m\nplain\x1b]0;title\x07\x1b[2J\n"))
	got := s.Lines(0, 10)
	require.Equal(t, []string{"", "\x1b[31m", "\x1b[31m\x1b[1m", ""}, []string{got[0].Colours, got[1].Colours, got[2].Colours, got[3].Colours})
	require.Contains(t, string(got[3].Text), "plain")
	require.NotContains(t, string(got[3].Text), "\x1b", "only colours pass")
	require.Equal(t, "\x1b[31m\x1b[1m", s.Lines(2, 1)[0].Colours, "also when reading begins there")
	for range 100 {
		_, _ = s.Write([]byte("\x1b[38;2;1;2;3m"))
	}
	_, _ = s.Write([]byte("\nx\n"))
	require.Less(t, len(s.Lines(5, 1)[0].Colours), maxColours)
}

func TestBounds(t *testing.T) {
	t.Parallel()
	s := New(t.TempDir(), 16*4*MaxLine)
	defer s.Close() //nolint:errcheck // a test's
	for i := range 200_000 {
		_, err := fmt.Fprintf(s, "this is line %d\n", i)
		require.NoError(t, err)
	}
	first, end := s.Range()
	require.Equal(t, 200_000, end)
	require.Greater(t, first, 100_000)
	require.LessOrEqual(t, s.size, s.limit)
	require.Equal(t, []string{fmt.Sprintf("this is line %d", first)}, texts(s.Lines(first, 1)))
	require.Empty(t, s.Lines(0, 1), "dropped lines are left out")
	require.Equal(t, first, s.Lines(0, end)[0].N)
	n := 0
	s.Scan(0, end, func(Line) bool { n++; return true })
	require.Equal(t, end-first, n)
}

func TestNoPlace(t *testing.T) {
	t.Parallel()
	s := New("/dev/null/none", 1<<20)
	_, err := s.Write([]byte("x\n"))
	require.ErrorContains(t, err, "the console can't be kept")
}

// TestOffsets finds each line in the output where the run wrote it, whatever
// the filter has made of it.
func TestOffsets(t *testing.T) {
	t.Parallel()
	s := New(t.TempDir(), 1<<20)
	defer s.Close() //nolint:errcheck // a test's
	kinds := []string{"plain %d\n", "%.0s\n", "\x1b[31mred %d\x1b[0m\x1b[K\n", "\x1b[2J\x07bell %d\n", "over\rwritten %d\r\n", "\x1b]0;title %d\x07 and \xff more\n"}
	var all []byte
	var want []int64
	for i := range 2000 {
		want = append(want, int64(len(all)))
		all = fmt.Appendf(all, kinds[rand.N(len(kinds))], i)
	}
	for rest := all; len(rest) > 0; {
		n := min(len(rest), 1+rand.N(500))
		_, err := s.Write(rest[:n])
		require.NoError(t, err)
		rest = rest[n:]
	}
	for range 100 {
		from := rand.N(2000)
		for _, l := range s.Lines(from, 1+rand.N(200)) {
			require.Equal(t, want[l.N], l.Offset, "line %d", l.N)
			require.NotContains(t, string(l.Text), "\x00")
		}
	}
}
