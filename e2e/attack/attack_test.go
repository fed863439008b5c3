package attack

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// attack is one row of the table.
type attack struct {
	// name is the subtest's: TestAttacks/name.
	name string
	// what is tried and what stops it, for the table.
	what, stops string
	// script is played as root in a run that the attacks of one room share. It
	// prints a line "held: …" for what was refused and "BREACH: …" for what was not.
	script string
	// tests run by themselves, for attacks that need more than a script.
	test func(t *testing.T, w *world)
}

// chapter is the attacks of one subject. Their scripts share a run.
type chapter struct {
	title   string
	attacks []attack
}

func chapters() []chapter {
	return []chapter{
		{"Out of the container: the job file and the image", imageAttacks()},
		{"Out of the container: the kernel", kernelAttacks()},
		{"At PID 1", initAttacks()},
		{"Over the network", networkAttacks()},
		{"Through git and the checkout", gitAttacks()},
		{"Through results and links", resultAttacks()},
		{"Through the environment, the console and the API", speechAttacks()},
		{"By using everything up", greedAttacks()},
		{"At other runs and what is left", neighbourAttacks()},
		{"By the run's token and the API's way in", callerAttacks()},
		{"At the run's SSH key", sshAttacks()},
		{"At what an agent keeps of repositories", mirrorAttacks()},
		{"Through services", serviceAttacks()},
		{"Through Dockerfiles", dockerfileAttacks()},
	}
}

// atOnce is how many runs are under way at a time.
const atOnce = 4

// update has TestTable write what it would compare.
var update = flag.Bool("update", false, "write the table of docs/security.md")

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", fmt.Sprint(atOnce)); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func TestAttacks(t *testing.T) {
	if testing.Short() {
		t.Skip("attacks are played in real containers")
	}
	w := newWorld(t)
	for _, c := range chapters() {
		shared := w.shared(c)
		for _, a := range c.attacks {
			t.Run(a.name, func(t *testing.T) {
				t.Parallel()
				if a.test != nil {
					a.test(t, w)
					return
				}
				held(t, shared(t)[a.name])
			})
		}
	}
}

// held is satisfied with what a script printed when something was tried and
// all of it was refused.
func held(t *testing.T, printed string) {
	t.Helper()
	require.NotContains(t, printed, "BREACH")
	require.Contains(t, printed, "held:", "nothing was tried")
}

// prelude is what scripts begin with. refuse runs a command that must fail;
// nothing looks for files that must not be there.
const prelude = `set +e
refuse() { if out=$("$@" 2>&1 </dev/null); then echo "BREACH: $*: $out"; else echo "held: $*: $out"; fi; }
nothing() { for f in "$@"; do if [ -e "$f" ]; then echo "BREACH: there is $f"; else echo "held: no $f"; fi; done; }
closed() { if nc -w 2 "$1" "$2" </dev/null >/dev/null 2>&1; then echo "BREACH: $1 port $2 is open"; else echo "held: $1 port $2"; fi; }
`

// shared returns a function that plays the scripts of a chapter in one run,
// once, and returns what each printed.
func (w *world) shared(c chapter) func(*testing.T) map[string]string {
	var script strings.Builder
	script.WriteString(prelude)
	for _, a := range c.attacks {
		if a.script != "" {
			fmt.Fprintf(&script, "echo '=== %s'\n(\n%s\n) 2>&1\n", a.name, strings.TrimSpace(a.script))
		}
	}
	script.WriteString("echo '=== end'\n")
	return w.once(c.title, func(t *testing.T) map[string]string {
		t.Helper()
		console := w.play(t, spec{"script": script.String()}).console
		require.Contains(t, console, "=== end\n", "the run did not come to its end")
		printed := map[string]string{}
		for part := range strings.SplitSeq(console, "=== ") {
			name, text, _ := strings.Cut(part, "\n")
			printed[name] = text
		}
		return printed
	})
}

// names are those of all attacks, in the order of the table.
func names() []string {
	var all []string
	for _, c := range chapters() {
		for _, a := range c.attacks {
			all = append(all, a.name)
		}
	}
	return all
}

// TestThereAreEnough wants at least 40 different ones.
func TestThereAreEnough(t *testing.T) {
	t.Parallel()
	all := names()
	require.GreaterOrEqual(t, len(all), 40)
	slices.Sort(all)
	require.Len(t, slices.Compact(all), len(names()), "two attacks have one name")
}
