package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// through sends data through a stream in the given pieces.
func through(m *Mask, pieces ...string) string {
	var out bytes.Buffer
	s := m.Stream(func(p []byte) error { out.Write(p); return nil })
	for _, p := range pieces {
		_ = s.Write([]byte(p))
	}
	_ = s.Close()
	return out.String()
}

func TestStreams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		secrets []string
		pieces  []string
		want    string
	}{
		"whole":                      {[]string{"hunter2"}, []string{"say hunter2 now"}, "say *** now"},
		"cut":                        {[]string{"hunter2"}, []string{"say hun", "ter2 now"}, "say *** now"},
		"one byte at a time":         {[]string{"hunter2"}, strings.Split("say hunter2 now", ""), "say *** now"},
		"at both ends":               {[]string{"hunter2"}, []string{"hunter2 x hunter2"}, "*** x ***"},
		"only its beginning":         {[]string{"hunter2"}, []string{"hunte"}, "hunte"},
		"beginning, then whole":      {[]string{"hunter2"}, []string{"hunthunter2"}, "hunt***"},
		"two beside each other":      {[]string{"hunter2"}, []string{"hunter2hunter2"}, "***"},
		"overlapping":                {[]string{"abcdef", "defghi"}, []string{"_abcdefghi_"}, "_***_"},
		"overlaps itself":            {[]string{"ababab"}, []string{"xabababababy"}, "x***y"},
		"a prefix of another":        {[]string{"hunter", "hunter2000"}, []string{"hunter20", "1"}, "***201"},
		"a prefix of another, whole": {[]string{"hunter", "hunter2000"}, []string{"hunter2", "000!"}, "***!"},
		"inside another":             {[]string{"unte", "hunter2"}, []string{"hunter2 hunte"}, "*** h***"},
		"a longer one that fails":    {[]string{"abcdefgh", "cdef"}, []string{"abcdefg"}, "ab***g"},
		"CRLF":                       {[]string{"line one\nline two"}, []string{"line one\r\n", "line two\r\n"}, "***\r\n"},
		"a line of many":             {[]string{"first line\nsecond line\n"}, []string{"x second line y"}, "x *** y"},
		"indented lines":             {[]string{"a:\n    password1\n"}, []string{"password1"}, "***"},
		"its line end is not needed": {[]string{"hunter2\n"}, []string{"hunter2."}, "***."},
		"too short":                  {[]string{"abc"}, []string{"abcabc"}, "abcabc"},
		"short, with line ends":      {[]string{"abc\n\n"}, []string{"abc\n\n"}, "abc\n\n"},
		"what stands for it":         {[]string{"a***b", "hunter2"}, []string{"ahunter2b"}, "a•••b"},
		"bytes that are no text":     {[]string{"hunter2"}, []string{"\xff\x00hunter2\xfe"}, "\xff\x00***\xfe"},
		"at a shell's hand":          {[]string{"it's secret"}, []string{`+ echo 'it'\''s secret'`}, "+ echo '***'"},
	} {
		m := New(c.secrets...)
		if m == nil {
			require.Equal(t, c.want, strings.Join(c.pieces, ""), name)
			continue
		}
		require.Equal(t, c.want, through(m, c.pieces...), name)
		require.Equal(t, c.want, m.String(strings.Join(c.pieces, "")), name)
	}
	require.Nil(t, New("abc", "", " \n "))
	var none *Mask
	require.Equal(t, "x", none.String("x"))
}

// What others make of a secret is masked, too.
func TestForms(t *testing.T) {
	t.Parallel()
	secret := "p/Ä+s&s?\"w\\rd' <é>~!=%$x\tyz"
	m := New(secret)
	least := new(bytes.Buffer)
	e := json.NewEncoder(least)
	e.SetEscapeHTML(false)
	require.NoError(t, e.Encode(secret))
	html, err := json.Marshal(secret)
	require.NoError(t, err)
	for name, form := range map[string]string{
		"as it is":      secret,
		"query":         url.QueryEscape(secret),
		"path":          url.PathEscape(secret),
		"lower query":   percent(secret, "", "%%%02x"),
		"JSON":          strings.Trim(least.String(), "\"\n"),
		"JSON for HTML": strings.Trim(string(html), `"`),
		"Python's JSON": ascii(strings.Trim(least.String(), "\"\n")),
		"hex":           hex.EncodeToString([]byte(secret)),
		"upper hex":     strings.ToUpper(hex.EncodeToString([]byte(secret))),
	} {
		require.Equal(t, "x=***;", m.String("x="+form+";"), name)
	}
}

func TestBase64(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"hunt", "hunte", "hunter", "hunter2", "\xfb\xff\xfe\xbf", "ÿþ>>>???", strings.Repeat("long ", 50)} {
		m := New(secret)
		for before := range 4 {
			for after := range 4 {
				text := strings.Repeat("b", before) + secret + strings.Repeat("a", after)
				for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
					whole := enc.EncodeToString([]byte(text))
					got := m.String(whole)
					require.Contains(t, got, "***", "%q in %q", secret, text)
					// What is left does not tell more than a few bits at each end.
					left := strings.ReplaceAll(got, "***", "")
					require.LessOrEqual(t, len(left), (before+2)/3*4+(after+2)/3*4+4, "%q of %q", got, whole)
				}
			}
		}
	}
}

// The real tools, which break lines.
func TestTools(t *testing.T) {
	t.Parallel()
	secret := "-----BEGIN X-----\n" + strings.Repeat("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n", 12) + "-----END X-----\n"
	m := New(secret)
	for _, command := range []string{
		`printf %s "$S" | base64`, `echo "$S" | base64`, `printf %s "$S" | base64 -w0`, `printf %s "$S" | base64 -w64`,
		`printf 'user:%s' "$S" | base64`, `printf %s "$S" | od -An -tx1 | tr -d ' \n'`, `echo "$S"`, `set -x; : "$S"`, `printf %s "$S" | tail -c 200 | head -c 150`,
	} {
		cmd := exec.Command("sh", "-c", command)
		cmd.Env = append(cmd.Environ(), "S="+secret)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, command)
		got := m.String(string(out))
		require.Contains(t, got, m.String("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"), command)
		left := strings.Map(func(r rune) rune {
			if strings.ContainsRune("*\n", r) {
				return -1
			}
			return r
		}, got)
		require.LessOrEqual(t, len(left), 40, "%s: %s", command, got)
	}
}

// reference masks a whole text in the plainest way.
func reference(m *Mask, text string) string {
	covered := make([]bool, len(text))
	for _, f := range m.forms {
		for i := 0; i+len(f) <= len(text); i++ {
			if text[i:i+len(f)] == f {
				for k := range f {
					covered[i+k] = true
				}
			}
		}
	}
	var b strings.Builder
	for i := range covered {
		switch {
		case !covered[i]:
			b.WriteByte(text[i])
		case i == 0 || !covered[i-1]:
			b.Write(m.text)
		}
	}
	return b.String()
}

// cut breaks text at random.
func cut(r *rand.Rand, text string) (pieces []string) {
	for len(text) > 0 {
		n := 1 + r.IntN(min(len(text), []int{1, 3, 20, 200}[r.IntN(4)]))
		pieces, text = append(pieces, text[:n]), text[n:]
	}
	return pieces
}

// random makes a text from few letters, so that beginnings, overlaps and repetitions abound.
func random(r *rand.Rand, letters string, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(letters[r.IntN(len(letters))])
	}
	return b.String()
}

// scene is random secrets and a text full of them and of their parts.
func scene(r *rand.Rand) (m *Mask, text string) {
	letters := []string{"ab", "abc\n", "a*b", "aA/+ \r\n", "0123456789abcdef", "ab\"\\'<%"}[r.IntN(6)]
	var secrets []string
	for range 1 + r.IntN(4) {
		secrets = append(secrets, random(r, letters, 4+r.IntN([]int{3, 10, 100}[r.IntN(3)])))
	}
	m = New(secrets...)
	if m == nil {
		return scene(r)
	}
	var b strings.Builder
	for range 1 + r.IntN(12) {
		f := m.forms[r.IntN(len(m.forms))]
		switch r.IntN(5) {
		case 0:
			b.WriteString(f)
		case 1:
			b.WriteString(f[:r.IntN(len(f)+1)])
		case 2:
			b.WriteString(f[r.IntN(len(f)):])
		case 3:
			b.WriteString(secrets[r.IntN(len(secrets))])
		default:
			b.WriteString(random(r, letters, r.IntN(20)))
		}
	}
	return m, b.String()
}

// For random secrets and random chunkings nothing that is looked for is let
// out, and every other byte is.
func TestRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		m, text := scene(r)
		want := reference(m, text)
		pieces := cut(r, text)
		require.Equal(t, want, through(m, pieces...), "seed %d: %q", seed, pieces)
		clean(t, m, want, seed)
	}
}

// clean fails when text holds a form. Where every choice of what stands for a
// secret has letters of a secret, one may arise, and that can't be helped.
func clean(t *testing.T, m *Mask, text string, seed uint64) {
	t.Helper()
	for _, f := range m.forms {
		require.NotContains(t, text, f, "seed %d", seed)
	}
}

// With pauses at random moments still no form is let out whole, and of what is
// let out nothing is lost or changed.
func TestPauses(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 2))
		m, text := scene(r)
		var out bytes.Buffer
		s := m.Stream(func(p []byte) error { out.Write(p); return nil })
		for _, p := range cut(r, text) {
			require.NoError(t, s.Write([]byte(p)))
			if r.IntN(2) == 0 {
				require.NoError(t, s.Pause())
				require.False(t, s.Held())
			}
			require.Less(t, len(s.held), maxForm)
		}
		require.NoError(t, s.Close())
		got := out.String()
		clean(t, m, got, seed)
		if strings.ContainsAny(text, string(m.text)) {
			continue // what stands for a secret can't be told from the text
		}
		// Each piece between two masks is a piece of the text, in its order, and
		// beside what the plain way shows there are at most the first bytes of secrets.
		at := 0
		for _, part := range strings.Split(got, string(m.text)) {
			i := strings.Index(text[at:], part)
			require.GreaterOrEqual(t, i, 0, "seed %d: %q is not in the text", seed, part)
			at += i + len(part)
		}
	}
}

func TestPrompt(t *testing.T) {
	t.Parallel()
	m := New("me: hunter2")
	var out bytes.Buffer
	s := m.Stream(func(p []byte) error { out.Write(p); return nil })
	require.NoError(t, s.Write([]byte("Name me")))
	require.Equal(t, "Name ", out.String())
	require.True(t, s.Held())
	require.NoError(t, s.Pause())
	require.Equal(t, "Name me", out.String(), "a prompt appears")
	require.False(t, s.Held())
	require.NoError(t, s.Write([]byte(": hunt")))
	require.False(t, s.Held(), "what is most probably a secret stays back")
	require.NoError(t, s.Pause())
	require.Equal(t, "Name me", out.String())
	require.NoError(t, s.Write([]byte("er2!")))
	require.Equal(t, "Name me***!", out.String())
}

func TestErrorsOfTheOutput(t *testing.T) {
	t.Parallel()
	broken := errors.New("gone")
	s := New("hunter2").Stream(func([]byte) error { return broken })
	require.ErrorIs(t, s.Write([]byte("x")), broken)
	require.NoError(t, s.Write([]byte("hun")))
	require.ErrorIs(t, s.Close(), broken)
}

func TestVeil(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	v := NewVeil(slog.NewTextHandler(&out, nil))
	log := slog.New(v).With("agent", "a").WithGroup("g")
	remove := v.Add(New("hunter2"))
	log.Info("say hunter2", "text", "hunter2", "err", fmt.Errorf("pull: %w", errors.New("password hunter2")), "n", 7,
		slog.Group("deep", "x", "hunter2"), "bytes", []string{"hunter2"})
	require.NotContains(t, out.String(), "hunter2")
	require.Equal(t, 5, strings.Count(out.String(), "***"))
	require.Contains(t, out.String(), "g.n=7")
	remove()
	remove()
	log.Info("hunter2")
	require.Contains(t, out.String(), "hunter2")
	var none *Veil
	none.Add(New("hunter2"))()
}

func FuzzStream(f *testing.F) {
	f.Add("hunter2", "abcd", "say hunter2 abcd", uint64(1))
	f.Add("a\nbcde", "****", "*****", uint64(2))
	f.Fuzz(func(t *testing.T, a, b, text string, seed uint64) {
		m := New(a, b)
		if m == nil || len(text) > 1000 || len(a)+len(b) > 500 {
			return
		}
		r := rand.New(rand.NewPCG(seed, 3))
		require.Equal(t, reference(m, text), through(m, cut(r, text)...))
	})
}

// Output of a usual kind passes at full speed.
func BenchmarkStream(b *testing.B) {
	var secrets []string
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		secrets = append(secrets, random(r, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 40))
	}
	m := New(secrets...)
	line := []byte(strings.Repeat("2026-01-01T00:00:00Z INFO a line of a hundred bytes that a compiler or a test prints ........ ok\n", 300))
	b.SetBytes(int64(len(line)))
	s := m.Stream(func([]byte) error { return nil })
	for b.Loop() {
		_ = s.Write(line)
	}
}
