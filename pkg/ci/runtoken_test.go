package ci

import (
	"strings"
	"testing"
)

func TestRunToken(t *testing.T) {
	t.Parallel()
	bearer, hash := NewRunToken(42)
	other, _ := NewRunToken(42)
	if bearer == other {
		t.Fatal("two tokens are the same")
	}
	run, again, ok := ParseRunToken(bearer)
	if !ok || run != 42 || again != hash || strings.Contains(hash, bearer) || len(hash) != 64 {
		t.Fatalf("%q is read as run %d, %q, %v", bearer, run, again, ok)
	}
	secret := strings.Split(bearer, ".")[2]
	for _, bad := range []string{
		"", "run", "run.42", "run.42.", "run..", "run.0." + secret, "run.-1." + secret, "run.042." + secret, "run.+42." + secret,
		"run.x." + secret, "Run.42." + secret, "run.42." + secret + "x", "run.42." + secret[1:], "run.99999999999999999999." + secret, bearer + ".x",
	} {
		if _, _, ok := ParseRunToken(bad); ok {
			t.Errorf("%q is taken for a run's token", bad)
		}
	}
}
