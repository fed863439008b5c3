package jobfile

import (
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/stretchr/testify/require"
)

var someVariables = map[string]string{"A": "a", "EMPTY": "", "URL": "x://y?z=$A&{}", "_u1": "u"}

func someLookup(name string) (string, bool) {
	v, ok := someVariables[name]
	return v, ok
}

// TestExpandAgreesWithCompose compares with compose-go where both must do alike.
func TestExpandAgreesWithCompose(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "plain", "$A", "${A}", "x$A-y", "$A$A", "${A}${A}", "$$A", "$$$A", "$$$$", "${A:-d}", "${EMPTY:-d}", "${EMPTY-d}", "${NONE:-d}", "${NONE-d}",
		"${NONE:-}", "${A:+o}", "${EMPTY:+o}", "${EMPTY+o}", "${NONE+o}", "${NONE:-$A}", "${NONE:-${A}}", "${NONE:-${EMPTY:-deep}}", "${NONE:-a:-b}",
		"${NONE:-$$A}", "$URL", "${_u1}", "$_u1", "a $ b", "$1", "$", "100$", "$(A)", "${A}}", "${NONE:-{}}", "ä$A", "$Aä", "${A:?x}", "${NONE-a b}", "${NONE:-/x/y}",
	} {
		want, err := template.SubstituteWithOptions(s, someLookup, template.WithoutLogging)
		require.NoError(t, err, s)
		got, _, problem := newExpander(someLookup).expand(s)
		require.Empty(t, problem, s)
		require.Equal(t, want, got, s)
	}
}

func TestExpandSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"${":         "is not closed",
		"${A":        "is not closed",
		"${}":        "is not a variable",
		"${1}":       "is not a variable",
		"${A b}":     "is not a variable",
		"${A:x}":     "is not a variable",
		"${NONE:?a}": `the variable NONE has no value, and the file demands one: "a"`,
		"${NONE?}":   "the variable NONE has no value",
		strings.Repeat("${N:-", 20) + strings.Repeat("}", 20): "is not a variable",
	} {
		_, _, problem := newExpander(someLookup).expand(s)
		require.Contains(t, problem, want, s)
	}
	_, missing, problem := newExpander(someLookup).expand("$A ${X} $Y ${Z:-1}")
	require.Empty(t, problem)
	require.Equal(t, []string{"X", "Y"}, missing)
}

// TestVariablesAreBounded: values that double themselves and texts that are all variables end early.
func TestVariablesAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("A=" + strings.Repeat("x", 1000) + "\n")
	for range 40 {
		b.WriteString("A=$A$A\n")
	}
	_, err := envFile(b.String(), map[string]string{}, func(string) (string, bool) { return "", false })
	require.ErrorContains(t, err, "stand for more than")
	big := func(string) (string, bool) { return strings.Repeat("x", 1<<16), true }
	_, _, problem := newExpander(big).expand(strings.Repeat("$A", 1000))
	require.Contains(t, problem, "stand for more than")
	_, _, problem = newExpander(someLookup).expand(strings.Repeat("${", 100_000))
	require.NotEmpty(t, problem)
}

// TestEnvFileAgreesWithCompose compares with compose-go where both must do alike.
func TestEnvFileAgreesWithCompose(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "A=1", "A=1\nB=2\n", "# c\n\nA=1 # c\n", "A=1#2", "export A=1", "A = 1", "A: 1", "A=", "A=\nB=", "A=\"x y\"", "A='x $B'", "A=\"x $A\"",
		"B=1\nC=$B-${B}", "B=1\nC='$B'\nD=\"${B}\"", "A=\"a\\nb\\tc\\\"d\"", "A='it\\'s'", "A=\"l1\nl2\"\nB=2", "A=\"x\" # c\nB=3", "A=\"\\$B\"", "A=$$B",
		"  A=1  \n\tB=2", "A=a=b=c", "A.B-C=1", "URL=http://x/y#z", "A=\r\nB=1\r\n", "\xef\xbb\xbfA=1", "A=${X:-d}", "EMPTY\nB=1", "A=\"\\\\\"", "A=\"\\0101\"",
	} {
		want, err := dotenv.ParseWithLookup(strings.NewReader(s), someLookup)
		require.NoError(t, err, "%q", s)
		got := map[string]string{}
		_, err = envFile(s, got, someLookup)
		require.NoError(t, err, "%q", s)
		require.Equal(t, want, got, "%q", s)
	}
}

func TestEnvFileSaysTheLine(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{
		"A=1\n\n# c\nB C=2":        4,
		"A=\"x\ny\"\nB=\"open\n\n": 3,
		"A=1\nB=${":                2,
		"A\nB\n=x":                 3,
		"ä=1":                      1,
	} {
		line, err := envFile(s, map[string]string{}, someLookup)
		require.Error(t, err, "%q", s)
		require.Equal(t, want, line, "%q: %v", s, err)
	}
}
