package terminal

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// filtered is what a terminal gets of s when it comes in pieces of n bytes.
func filtered(t testing.TB, s string, n int, color bool) string {
	t.Helper()
	var b bytes.Buffer
	f := NewFilter(&b, color)
	for len(s) > 0 {
		k := min(n, len(s))
		wrote, err := f.Write([]byte(s[:k]))
		require.NoError(t, err)
		require.Equal(t, k, wrote)
		s = s[k:]
	}
	require.NoError(t, f.Close())
	return b.String()
}

func TestFilter(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ in, want string }{
		"text":              {"ü\tb\r\nc", "ü\tb\r\nc"},
		"colours":           {"\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m\x1b[0m"},
		"true colour":       {"\x1b[38:2::1:2:3mx", "\x1b[38:2::1:2:3mx\x1b[0m"},
		"cursor":            {"a\x1b[2J\x1b[H\x1b[6nb", "a^[[2J^[[H^[[6nb"},
		"private mode":      {"a\x1b[?1049h\x1b[?25lb", "a^[[?1049h^[[?25lb"},
		"private sgr":       {"a\x1b[>4;1mb\x1b[?4mc", "a^[[>4;1mb^[[?4mc"},
		"sgr with space":    {"a\x1b[1 mb", "a^[[1 mb"},
		"long sgr":          {"a\x1b[" + strings.Repeat("1;", 100) + "mb", "a^[[" + strings.Repeat("1;", 100) + "mb"},
		"title":             {"a\x1b]0;owned\x07b", "a^[]0;owned^Gb"},
		"clipboard":         {"a\x1b]52;c;aGk=\x1b\\b", "a^[]52;c;aGk=^[\\b"},
		"hyperlink":         {"\x1b]8;;http://x\x1b\\text\x1b]8;;\x1b\\", "^[]8;;http://x^[\\text^[]8;;^[\\"},
		"dcs":               {"a\x1bPq#0;2\x1b\\b", "a^[Pq#0;2^[\\b"},
		"apc pm sos":        {"\x1b_x\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\", "^[_x^[\\^[^x^[\\^[Xx^[\\"},
		"8-bit csi":         {"a\u009b2Jb", "a<U+009B>2Jb"},
		"8-bit colour":      {"a\u009b31mb", "a<U+009B>31mb"},
		"8-bit osc":         {"a\u009d0;x\u009cb", "a<U+009D>0;x<U+009C>b"},
		"raw 8-bit byte":    {"a\x9b2Jb", "a\ufffd2Jb"},
		"c0":                {"a\x00\x07\x08\x0b\x0c\x0e\x7fb", "a^@^G^H^K^L^N^?b"},
		"bidi":              {"a\u202e\u2066\u200fb\u061c", "a<U+202E><U+2066><U+200F>b<U+061C>"},
		"line separators":   {"a\u2028b\u2029", "a<U+2028>b<U+2029>"},
		"charset":           {"a\x1b(0b\x1b)Bc\x1b(\x1b[1md", "a^[(0b^[)Bc^[(\x1b[1md\x1b[0m"},
		"reset":             {"a\x1bcb\x1b7c", "a^[cb^[7c"},
		"colours of tput":   {"\x1b[31mred\x1b(B\x1b[m", "\x1b[31mred\x1b[m\x1b[0m"},
		"colours of gcc":    {"\x1b[01;31m\x1b[Kerror\x1b[m\x1b[K", "\x1b[01;31merror\x1b[m\x1b[0m"},
		"csi broken off":    {"a\x1b[3\nb", "a^[[3\nb"},
		"esc in csi":        {"a\x1b[3\x1b[1mb", "a^[[3\x1b[1mb\x1b[0m"},
		"osc never ended":   {"a\x1b]0;x\nb", "a^[]0;x\nb"},
		"csi at the end":    {"a\x1b[3", "a^[[3"},
		"esc at the end":    {"a\x1b", "a^["},
		"esc esc":           {"\x1b\x1b[1mx", "^[\x1b[1mx\x1b[0m"},
		"not utf-8":         {"a\xff\xc3(b", "a\ufffd\ufffd(b"},
		"half a character":  {"a\xe2\x82", "a"},
		"progress bar":      {"10%\r20%\r", "10%\r20%\r"},
		"esc before a line": {"a\x1b\nb", "a^[\nb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{1, 2, 3, 1000} {
				require.Equal(t, tt.want, filtered(t, tt.in, n, true), "in pieces of %d", n)
			}
		})
	}
	require.Equal(t, "red", filtered(t, "\x1b[31mred\x1b[0m", 100, false), "no colours where they aren't welcome")
}

// onlyColours fails when anything but text and SGR is in s.
func onlyColours(t testing.TB, s string) {
	t.Helper()
	require.True(t, utf8.ValidString(s))
	for i, r := range s {
		if r == 0x1b {
			end := strings.IndexByte(s[i:], 'm')
			require.Greater(t, end, 0)
			require.True(t, strings.HasPrefix(s[i:], "\x1b[") && isSGR([]byte(s[i+2:i+end])), "%q", s[i:i+end+1])
			continue
		}
		require.False(t, Unsafe(r) && r != '\n' && r != '\r' && r != '\t', "%U", r)
	}
}

// collected are the files of a collection that may lie beside the module.
func collected(pattern string) []string {
	for _, up := range []string{"../../../shared/data/", "../../../../shared/data/"} {
		if files, _ := filepath.Glob(up + pattern); len(files) > 0 {
			return files
		}
	}
	return nil
}

func TestFilterOnRealLogs(t *testing.T) {
	t.Parallel()
	logs := collected("ansi-logs/fixtures/*.raw")
	if len(logs) == 0 {
		t.Skip("no collection of real logs beside the module")
	}
	for _, p := range logs {
		data, err := os.ReadFile(p)
		require.NoError(t, err)
		whole := filtered(t, string(data), len(data), true)
		onlyColours(t, whole)
		require.Equal(t, whole, filtered(t, string(data), 7, true), p)
		require.NotEmpty(t, whole, p)
	}
}

// Naughty strings come through as harmless text, in consoles and in names.
func TestNaughtyStrings(t *testing.T) {
	t.Parallel()
	lists := collected("blns/*.txt")
	if len(lists) == 0 {
		t.Skip("no list of naughty strings beside the module")
	}
	for _, p := range lists {
		data, err := os.ReadFile(p)
		require.NoError(t, err)
		onlyColours(t, filtered(t, string(data), 11, true))
		for line := range strings.Lines(string(data)) {
			for _, r := range Clean(line) {
				require.False(t, Unsafe(r), "%q", line)
			}
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("a\x1b[31mb\x1b]0;x\x07\u009b2J\xff", 3)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n < 1 {
			n = 1
		}
		got := filtered(t, s, n, true)
		onlyColours(t, got)
		require.Equal(t, filtered(t, s, len(s)+1, true), got)
	})
}

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain ü":        "plain ü",
		"a\x1b[2Jb":      `a\x1b[2Jb`,
		"a\nb\tc\r":      "a b c ",
		"a\u202eb":       `a\u202eb`,
		"a\u009bb":       `a\x9bb`,
		"a\xffb":         `a\xffb`,
		"a\x00\x7f\x07":  `a\x00\x7f\x07`,
		"line\u2028line": `line\u2028line`,
	} {
		require.Equal(t, want, Clean(in))
	}
	require.Equal(t, "a\nb c", CleanLines("a\nb\tc"))
	require.Equal(t, `{"a":"\u202e\u009b"}`, CleanJSON("{\"a\":\"\u202e\u009b\"}"))
}
