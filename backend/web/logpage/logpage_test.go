package logpage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// rendered is all of a console in one piece.
func rendered(t testing.TB, text string) string {
	t.Helper()
	x := NewIndex()
	require.NoError(t, x.Scan(strings.NewReader(text)))
	var b strings.Builder
	for page := range x.Pages() {
		out, err := x.Render(strings.NewReader(text[x.Begin(page):]), page, "")
		require.NoError(t, err)
		b.WriteString(string(out))
	}
	return b.String()
}

var ending = regexp.MustCompile(`(?s)^<div class=r id=L1><a href="#L1">1</a><span>(.*)</span></div>\n$`)

// shown is the HTML of the one row that text makes.
func shown(t testing.TB, text string) string {
	t.Helper()
	m := ending.FindStringSubmatch(rendered(t, text))
	require.NotNil(t, m, "%s", rendered(t, text))
	return m[1]
}

func TestColours(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"text":              {"plain", "plain"},
		"html":              {`<b>"&'</b>`, "&lt;b&gt;&#34;&amp;&#39;&lt;/b&gt;"},
		"red":               {"\x1b[31mred\x1b[0m off", `<span class="f1">red</span> off`},
		"bold and red":      {"\x1b[1;31mred", `<span class="f1 b">red</span>`},
		"bright on blue":    {"\x1b[97;44mx", `<span class="f15 g4">x</span>`},
		"empty resets":      {"\x1b[31ma\x1b[mb", `<span class="f1">a</span>b`},
		"default colour":    {"\x1b[31;42ma\x1b[39mb\x1b[49mc", `<span class="f1 g2">a</span><span class="g2">b</span>c`},
		"256":               {"\x1b[38;5;208mx\x1b[0;48;5;16my", `<span class="f208">x</span><span class="g16">y</span>`},
		"256 and bold":      {"\x1b[38;5;208;1mx", `<span class="f208 b">x</span>`},
		"true colour":       {"\x1b[38;2;255;0;0mx", `<span class="f196">x</span>`},
		"true, by colons":   {"\x1b[38:2::255:0:0mx", `<span class="f196">x</span>`},
		"true, by colons 2": {"\x1b[38:2:1:255:0:0mx", `<span class="f196">x</span>`},
		"true grey":         {"\x1b[38;2;120;120;121mx", `<span class="f243">x</span>`},
		"broken colour":     {"\x1b[38;9mx\x1b[38mx\x1b[38;5;999mx", "xxx"},
		"inverse":           {"\x1b[7mx\x1b[27my", `<span class="v">x</span>y`},
		"inverse red":       {"\x1b[31;7mx", `<span class="fx g1">x</span>`},
		"all flags":         {"\x1b[1;2;3;4;9mx\x1b[22;23;24;29my", `<span class="b d i u s">x</span>y`},
		"progress":          {"10%\r20%\r100%\r", "100%"},
		"colour before cr":  {"\x1b[32m10%\r20%", `<span class="f2">20%</span>`},
		"cursor":            {"a\x1b[2Jb", "a^[[2Jb"},
		"link":              {"\x1b]8;;javascript:alert(1)\x1b\\x", "^[]8;;javascript:alert(1)^[\\x"},
		"bidi":              {"a\u202eb", "a&lt;U+202E&gt;b"},
		"nul and bell":      {"a\x00\x07b", "a^@^Gb"},
		"not utf-8":         {"a\xffb", "a\ufffdb"},
		"tab":               {"a\tb", "a\tb"},
		"open sequence":     {"a\x1b[3", "a^[[3"},
		"tag in colour":     {"\x1b[31m</span><script>", `<span class="f1">&lt;/span&gt;&lt;script&gt;</span>`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, shown(t, c.in))
			require.Equal(t, c.want, shown(t, c.in+"\n"))
		})
	}
}

func TestColoursGoOnInTheNextRow(t *testing.T) {
	t.Parallel()
	got := rendered(t, "\x1b[31ma\nb\x1b[0m\nc\n")
	require.Contains(t, got, `id=L2><a href="#L2">2</a><span><span class="f1">b</span>`)
	require.Contains(t, got, `id=L3><a href="#L3">3</a><span>c</span>`)
}

func TestPages(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := 1; i <= 3*PageRows; i++ {
		fmt.Fprintf(&text, "\x1b[3%dmline %d\n", i%8, i)
	}
	text.WriteString("and the last")
	x := NewIndex()
	require.NoError(t, x.Scan(strings.NewReader(text.String())))
	require.Equal(t, 3, x.Pages())
	require.EqualValues(t, 3*PageRows, x.Lines())
	require.EqualValues(t, text.Len()-len("and the last"), x.End())
	for line, page := range map[int64]int{1: 0, PageRows: 0, PageRows + 1: 1, 3 * PageRows: 2, 3*PageRows + 1: 2, 1 << 40: 2, 0: 0, -5: 0} {
		require.Equal(t, page, x.PageOf(line), "line %d", line)
	}
	require.EqualValues(t, PageRows+1, x.First(1))
	out, err := x.Render(strings.NewReader(text.String()[x.Begin(1):]), 1, "/x")
	require.NoError(t, err)
	require.Equal(t, PageRows, strings.Count(string(out), "<div class=r"))
	require.Contains(t, string(out), fmt.Sprintf(`<span><span class="f%d">line %d</span></span>`, (PageRows+1)%8, PageRows+1))
	require.Contains(t, string(out), fmt.Sprintf(`<a href="/x#L%d">`, PageRows+1))
	require.NotContains(t, string(out), fmt.Sprintf("line %d<", 2*PageRows+1))
	out, err = x.Render(strings.NewReader(text.String()[x.Begin(2):]), 2, "")
	require.NoError(t, err)
	require.Contains(t, string(out), "and the last")
}

// However a console is cut on its way and between scans, its pages are the same.
func TestScanInPieces(t *testing.T) {
	t.Parallel()
	text := hostile()
	whole := NewIndex()
	require.NoError(t, whole.Scan(strings.NewReader(text)))
	for _, n := range []int{997, 5000, 70_000} {
		x := NewIndex()
		for end := n; ; end += n {
			end = min(end, len(text))
			require.NoError(t, x.Scan(iotest.HalfReader(strings.NewReader(text[x.End():end]))))
			if end == len(text) {
				break
			}
		}
		require.Equal(t, whole.pages, x.pages, "in pieces of %d", n)
		require.Equal(t, whole.at, x.at)
	}
}

// hostile is output that has everything: very long lines, sequences at their cuts, no line ends.
func hostile() string {
	var b strings.Builder
	b.WriteString(strings.Repeat("x", RowBytes-3) + "\x1b[1;31m" + strings.Repeat("ü", RowBytes) + "\n")
	b.WriteString(strings.Repeat("\x1b[32m€\x1b[0m", 3000) + "\n")
	b.WriteString(strings.Repeat("\x1b", 3*RowBytes) + "\n\n\n")
	b.WriteString(strings.Repeat("a\r", 3*RowBytes) + "\r\n")
	b.WriteString(strings.Repeat("\xe2\x82", RowBytes))
	b.WriteString(strings.Repeat("\n", PageRows+10))
	b.WriteString("no end")
	return b.String()
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	got := rendered(t, strings.Repeat("x", 2*RowBytes+1)+"\nnext\n")
	require.Contains(t, got, "id=L1>")
	require.Contains(t, got, "id=L1.2>")
	require.Contains(t, got, "id=L1.3>")
	require.Contains(t, got, "id=L2>")
	require.NotContains(t, rendered(t, strings.Repeat("ü", 2*RowBytes)), "\ufffd", "no character is cut")
	cut := rendered(t, strings.Repeat("x", RowBytes-2)+"\x1b[31mred")
	require.Contains(t, cut, `<span class="f1">red</span>`, "no sequence is cut")
}

var address = regexp.MustCompile(`^#L[0-9.]+$`)

// wellFormed fails when a browser would find anything but rows: other elements, other attributes.
func wellFormed(t testing.TB, out string) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(out))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return
		}
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		name, more := z.TagName()
		if n := string(name); n != "div" && n != "a" && n != "span" {
			t.Fatalf("an element of the output's own: %s", n)
		}
		for more {
			var key, value []byte
			key, value, more = z.TagAttr()
			switch string(key) {
			case "class", "id", "tabindex", "aria-label":
			case "href":
				if !address.Match(value) {
					t.Fatalf("a link of the output's own: %s", value)
				}
			default:
				t.Fatalf("an attribute of the output's own: %s", key)
			}
		}
	}
}

func TestHostileOutput(t *testing.T) {
	t.Parallel()
	wellFormed(t, rendered(t, hostile()))
	for _, folder := range []string{"ansi-logs/fixtures/*.raw", "blns/blns.txt"} {
		var files []string
		for _, up := range []string{"../../../../shared/data/", "../../../../../shared/data/"} {
			if found, _ := filepath.Glob(up + folder); len(found) > 0 {
				files = found
			}
		}
		if len(files) == 0 {
			t.Skipf("no %s beside the module", folder)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			require.NoError(t, err)
			wellFormed(t, rendered(t, string(data)))
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("\x1b[31m<b>\x1b]0;x\x07\r\n\xff")
	f.Fuzz(func(t *testing.T, text string) {
		wellFormed(t, rendered(t, text))
		x := NewIndex()
		require.NoError(t, x.Scan(strings.NewReader(text)))
		require.Equal(t, rendered(t, text), replayed(x.Live(0), []string{text}), "live and finished look the same")
	})
}

// replayed joins what a browser would have after all pieces: a row that comes again replaces the one before.
func replayed(l *Live, pieces []string) string {
	rows := map[string]string{}
	var order []string
	id := regexp.MustCompile(`^<div class=r id=([^>]+)>`)
	for _, p := range pieces {
		l.Feed([]byte(p))
		for row := range strings.SplitAfterSeq(l.Take(), "</div>\n") {
			m := id.FindStringSubmatch(row)
			if m == nil {
				continue
			}
			if _, there := rows[m[1]]; !there {
				order = append(order, m[1])
			}
			rows[m[1]] = row
		}
	}
	var b strings.Builder
	for _, n := range order {
		b.WriteString(rows[n])
	}
	return b.String()
}

func TestLive(t *testing.T) {
	t.Parallel()
	text := hostile()
	want := rendered(t, text)
	for _, n := range []int{777, 10_000, len(text)} {
		var pieces []string
		for rest := text; rest != ""; {
			k := min(n, len(rest))
			pieces, rest = append(pieces, rest[:k]), rest[k:]
		}
		l := NewIndex().Live(0)
		require.Equal(t, want, replayed(l, pieces), "in pieces of %d", n)
		x := NewIndex()
		require.NoError(t, x.Scan(strings.NewReader(text)))
		require.Equal(t, x.Pages()-1, l.Page())
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	text := "first\nan \x1b[31mERR\x1b[0mor here\nnothing\n" + strings.Repeat("error\n", 5) + "Error at the end"
	link := func(line int64) string { return fmt.Sprintf("?line=%d", line) }
	hits, err := Search(strings.NewReader(text), "Error", 100, link)
	require.NoError(t, err)
	require.Equal(t, 7, hits.Count)
	require.False(t, hits.More)
	require.Contains(t, string(hits.Rows), `<a href="?line=2#L2">2</a><span>an <span class="f1">ERR</span>or here`)
	require.Contains(t, string(hits.Rows), "Error at the end")
	hits, err = Search(strings.NewReader(text), "error", 3, link)
	require.NoError(t, err)
	require.Equal(t, 3, hits.Count)
	require.True(t, hits.More)
	hits, err = Search(strings.NewReader(text), "absent", 3, link)
	require.NoError(t, err)
	require.Zero(t, hits.Count)
	require.Empty(t, hits.Rows)
}

func TestPalette(t *testing.T) {
	t.Parallel()
	css := Palette()
	require.Equal(t, 240, strings.Count(css, "\n"))
	require.Contains(t, css, ".f196{color:#ff0000}.g196{background:#ff0000}\n")
	require.Contains(t, css, ".f255{color:#eeeeee}")
}

// A hundred megabytes are indexed by reading them once; the figure is `make bench`'s.
func BenchmarkScan(b *testing.B) {
	text := bytes.Repeat([]byte("\x1b[32mok\x1b[0m  \tshop/orders\t0.398s coverage: 81.2% of statements\n"), 16<<10)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := NewIndex().Scan(bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}
