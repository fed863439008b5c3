package replay

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func direct(in Input) (*Output, error) { return Evaluate(in), nil }

// play carries a program out in a played world and writes its calls, one a line.
func play(t *testing.T, program string, world Played) (string, *Output) {
	t.Helper()
	world.Now = noon
	calls, out, err := DryRun(Input{Name: "p", Program: program}, world, direct)
	require.NoError(t, err)
	lines := make([]string, len(calls))
	for i, c := range calls {
		lines[i] = strings.TrimSpace(c.ID + " " + string(c.Kind) + " " + c.Title + " after " + strings.Join(c.After, ","))
	}
	return strings.Join(lines, "\n"), out
}

func TestPrograms(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		program string
		world   Played
		calls   []string
		outcome ci.Outcome
		reason  string
	}{
		"one after another": {
			program: "all(run('lint'))\nall(run('unit-test'))",
			calls:   []string{"0 run lint after", "2 run unit-test after 0"},
		},
		"fan out and join": {
			program: "all([run('t', params={'N': i}) for i in range(3)])\nrun('package')",
			calls:   []string{"0 run t after", "1 run t after", "2 run t after", "4 run package after 0,1,2"},
		},
		"a failure ends it": {
			program: "all(run('a'), run('b'))\nrun('never')",
			world:   Played{Outcomes: map[string]ci.Outcome{"b": ci.OutcomeFailed}},
			calls:   []string{"0 run a after", "1 run b after"}, outcome: ci.OutcomeFailed, reason: "b/2 failed: played",
		},
		"a failure that is looked at": {
			program: "r = run('a')\nif not r:\n  run('repair')\nif r.outcome == 'failed': run('tell')",
			world:   Played{Outcomes: map[string]ci.Outcome{"a": ci.OutcomeFailed}},
			calls:   []string{"0 run a after", "1 run repair after 0", "2 run tell after 0"},
		},
		"truth of a run": {
			program: "r = run('a')\nx = 'yes' if r else 'no'\nrun('b', params={'X': x, 'R': bool(r)})",
			calls:   []string{"0 run a after", "1 run b after 0"},
		},
		"a run that nobody waits for": {
			program: "run('a')\nrun('b')",
			world:   Played{Outcomes: map[string]ci.Outcome{"a": ci.OutcomeTimedOut}},
			calls:   []string{"0 run a after", "1 run b after"}, outcome: ci.OutcomeFailed, reason: "a/1, which the program did not wait for, timed out: played",
		},
		"any takes the first": {
			program: "a = run('a')\nb = run('b')\nw = any([a, b])\nrun('c', params={'W': w.job})",
			world:   Played{Outcomes: map[string]ci.Outcome{"a": ci.OutcomeFailed}},
			calls:   []string{"0 run a after", "1 run b after", "2 any any after 1", "3 run c after 2"},
		},
		"any of none": {
			program: "any(run('a'))",
			world:   Played{Outcomes: map[string]ci.Outcome{"a": ci.OutcomeLost}},
			calls:   []string{"0 run a after", "1 any any after 0"}, outcome: ci.OutcomeFailed, reason: "a/1 was lost: played",
		},
		"a condition on a result": {
			program: "p = run('package')\nif result(p, 'version').text.strip() == '2': run('deploy', params={'VERSION': result(p, 'version').text})",
			world:   Played{Results: map[string]string{"package:version": "2\n"}},
			calls:   []string{"0 run package after", "1 result package version after 0", "2 result package version after 1", "3 run deploy after 2"},
		},
		"a result that is missing": {
			program: "result(run('a'), 'x')", calls: []string{"0 run a after", "1 result a x after 0"},
			outcome: ci.OutcomeFailed, reason: "p.star:1: job a has no result x in this dry run; give it one",
		},
		"a result with a default": {
			program: "print(result(run('a'), 'x', default='none'))", calls: []string{"0 run a after", "1 result a x after 0", "2 print none after 1"},
		},
		"an approval": {
			program: "a = approve('deploy?', timeout='1h')\nrun('deploy', params={'BY': a.by})",
			calls:   []string{"0 approve deploy? after", "1 run deploy after 0"},
		},
		"a refusal": {
			program: "approve('deploy?')\nrun('deploy')", world: Played{Reject: true},
			calls: []string{"0 approve deploy? after"}, outcome: ci.OutcomeFailed, reason: `dry-run said no to "deploy?"`,
		},
		"a refusal that is looked at": {
			program: "if not approve('deploy?', check=False).approved: run('undo')", world: Played{Reject: true},
			calls: []string{"0 approve deploy? after", "1 run undo after 0"},
		},
		"branches beside each other": {
			program: "def f(x):\n  all(run(x + '1'))\n  return run(x + '2')\nr = all([lambda: f('a'), lambda: f('b')])\nall(r)\nrun('end')",
			calls: []string{
				"0.0.0 run a1 after", "0.1.0 run b1 after", "0.0.2 run a2 after 0.0.0", "0.1.2 run b2 after 0.1.0",
				"2 run end after 0.0.2,0.1.2",
			},
		},
		"sleep, now and print": {
			program: "print('begin')\nsleep('10m')\nprint(now())",
			calls:   []string{"0 print begin after", "1 sleep 10m0s after", "2 now now after 1", "3 print 2026-03-01T12:00:00Z after 1"},
		},
		"fail":             {program: "fail('no reason')", outcome: ci.OutcomeFailed, reason: "no reason"},
		"booleans as ever": {program: "if all([True, 1, 'x']) and not any([0, '']): print('yes')", calls: []string{"0 print yes after"}},
		"abort":            {program: "r = run('a')\nabort(r)", calls: []string{"0 run a after", "1 abort a after"}},
		"fail fast": {
			program: "all([run('a'), run('b')], fail_fast=True)", world: Played{Outcomes: map[string]ci.Outcome{"a": ci.OutcomeFailed}},
			calls: []string{"0 run a after", "1 run b after"}, outcome: ci.OutcomeFailed, reason: "a/1 failed: played",
		},
		"while and top-level loops": {
			program: "n = 0\nwhile n < 2:\n  r = wait(run('try', name='try%d' % n))\n  n += 1\n  if r.ok: break",
			world:   Played{Outcomes: map[string]ci.Outcome{"try0": ci.OutcomeFailed}},
			calls:   []string{"0 run try0 after", "1 run try1 after 0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls, out := play(t, c.program, c.world)
			require.Equal(t, strings.Join(c.calls, "\n"), calls)
			want := c.outcome
			if want == "" {
				want = ci.OutcomeSucceeded
			}
			require.Equal(t, want, out.Outcome, out.Reason)
			if c.reason != "" {
				require.Equal(t, c.reason, out.Reason)
			}
		})
	}
}

// Each replay sees only what was recorded, one call more each time, in every
// order: the calls are those of a program that never stopped.
func TestReplayOneByOne(t *testing.T) {
	t.Parallel()
	program := `
def tested(x):
    all(run("unit", params = {"X": x}))
    return run("long", params = {"X": x})

all(all([lambda: tested("a"), lambda: tested("b"), lambda: tested("c")]))
print(now())
first = any([run("fast"), run("slow")])
if result(run("package"), "version").text == "1":
    sleep(5)
    all(run("deploy", params = {"FIRST": first.job}))
`
	in := Input{Name: "p", Program: program, Now: noon}
	world := Played{Results: map[string]string{"package:version": "1"}, Now: noon}
	ids := map[string]bool{}
	for step := int64(1); ; step++ {
		require.Less(t, step, int64(50))
		out := Evaluate(in)
		require.False(t, out.Fault, out.Reason)
		for _, c := range out.New {
			require.False(t, ids[c.ID], "%s came twice", c.ID)
			ids[c.ID] = true
		}
		in.Calls = append(in.Calls, out.New...)
		in.Now = in.Now.Add(time.Hour) // a now that was recorded stays
		again := Evaluate(in)
		require.Empty(t, again.New, "a replay with nothing new makes no calls")
		require.Equal(t, out.Outcome, again.Outcome)
		if out.Ended() {
			require.Equal(t, ci.OutcomeSucceeded, out.Outcome)
			break
		}
		require.NotEmpty(t, out.Waiting)
		// The last of those that are waited for is done first.
		last := out.Waiting[len(out.Waiting)-1]
		for i := range in.Calls {
			if in.Calls[i].ID == last {
				require.NoError(t, world.finish(&in.Calls[i], step))
			}
		}
	}
	require.Len(t, in.Calls, 15)
}

func TestParameters(t *testing.T) {
	t.Parallel()
	program := "p = params(branch = 'main', level = 2, deploy = False, who = None)\nrun('a', branch = p.branch, params = {'L': p.level + 1, 'D': p.deploy, 'W': p.who})"
	out := Evaluate(Input{Name: "p", Program: program, Probe: true, Declared: true})
	require.False(t, out.Fault, out.Reason)
	require.Equal(t, []ci.PipelineParameter{
		{Name: "branch", Type: "string", Default: "main"},
		{Name: "level", Type: "int", Default: "2"},
		{Name: "deploy", Type: "bool", Default: "false"},
		{Name: "who", Type: "string", Required: true},
	}, out.Parameters)

	out = Evaluate(Input{Name: "p", Program: program, Parameters: map[string]string{"who": "me", "level": "7", "deploy": "true"}})
	require.JSONEq(t, `{"job":"a","branch":"main","parameters":{"L":"8","D":"true","W":"me"}}`, string(out.New[0].Args))

	out = Evaluate(Input{Name: "p", Program: program, Parameters: map[string]string{"level": "x", "deploy": "maybe", "other": ""}, Probe: true})
	require.True(t, out.Fault)
	require.Equal(t, []ci.Field{
		{Path: "parameters.level", Message: `"x" is no whole number`},
		{Path: "parameters.deploy", Message: `"maybe" is neither true nor false`},
		{Path: "parameters.who", Message: "is required and missing"},
		{Path: "parameters.other", Message: "is not a parameter of this pipeline; it has branch, deploy, level, who"},
	}, out.Fields)
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(out.Err()))

	out = Evaluate(Input{Name: "p", Program: "run('a')", Parameters: map[string]string{"x": "1"}, Probe: true})
	require.Equal(t, []ci.Field{{Path: "parameters.x", Message: "is not a parameter of this pipeline; it has none"}}, out.Fields)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ program, says string }{
		"syntax":               {"run('a'\nrun('b')", "p.star:2:4: got identifier"},
		"unknown name":         {"x = 1\nrn('a')", "p.star:2:1: undefined: rn"},
		"wrong argument":       {"run('a', brnch='main')", `p.star:1:4: run: unexpected keyword argument "brnch"`},
		"wrong job":            {"run('a b')", "p.star:1:4: run: the job"},
		"both":                 {"run('a', branch='m', commit='" + strings.Repeat("a", 40) + "')", "not both"},
		"a parameter's type":   {"run('a', params={'X': [1]})", "run: parameter X is a list"},
		"endless loop":         {"while True: pass", "p takes more than 5000000 steps"},
		"endless calls":        {"while True: print('x')", "a pipeline may make 2000 calls"},
		"many runs":            {"all([run('a') for i in range(1000)])", "may trigger 500 runs"},
		"recursion":            {"def f(n): return f(n + 1)\nf(0)", "function f called recursively"},
		"mutual recursion":     {"def f(g): return g(f, g)\ndef g(f, g): return f(g)\nf(g)", "called recursively"},
		"load":                 {"load('x.star', 'y')", "nothing can be loaded"},
		"brackets":             {strings.Repeat("(", 60000), "nested more than 200 deep"},
		"too long":             {strings.Repeat("#", ci.MaxProgram+1), "at most 65536 are allowed"},
		"not text":             {"x = '\xff'", "not UTF-8"},
		"NUL":                  {"x = '\x00'", "not UTF-8"},
		"duration":             {"sleep('soon')", `"soon" is no duration`},
		"long sleep":           {"sleep('10000h')", "at most 720h0m0s"},
		"params late":          {"run('a')\nparams(x=1)", "comes after another call"},
		"params twice":         {"params(x=1)\nparams(x=1)", "called twice"},
		"mixed any":            {"any([run('a'), 1])", "beside runs only runs"},
		"shared between":       {"l = []\ndef f():\n  l.append(1)\nall([f, f])", "cannot append to frozen list"},
		"captured between":     {"def main():\n  l = []\n  all([lambda: l.append(1)])\nmain()", "cannot append to frozen list"},
		"huge arguments":       {"run('a', params={'X': 'x' * 100000})", "at most 65536 are allowed"},
		"division":             {"x = 1 // 0", "p.star:1:7: floored division by zero"},
		"an attribute of none": {"run('a').nonsense", "run has no .nonsense field"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := Evaluate(Input{Name: "p", Program: c.program, Parameters: map[string]string{}})
			require.True(t, out.Fault, "%+v", out)
			require.Equal(t, ci.OutcomeError, out.Outcome)
			require.Contains(t, out.Reason, c.says)
			require.Error(t, out.Err())
		})
	}
}

// A program that does not do what it did before is never continued.
func TestDivergence(t *testing.T) {
	t.Parallel()
	first := Evaluate(Input{Name: "p", Program: "all(run('a'), run('b'))"})
	require.Len(t, first.New, 2)
	for program, says := range map[string]string{
		"all(run('a'), run('c'))": `call 1 was run({"job":"b"}) before and is run({"job":"c"}) now`,
		"all(run('a'))":           `call 1 was made before, run({"job":"b"}), and is not made now`,
		"sleep(1)":                `call 0 was run({"job":"a"}) before and is sleep({"for":"1s"}) now`,
	} {
		out := Evaluate(Input{Name: "p", Program: program, Calls: first.New})
		require.True(t, out.Fault, program)
		require.Contains(t, out.Reason, says)
		require.Contains(t, out.Reason, "so it can't be continued")
		require.Empty(t, out.New)
	}
}

// The text of a run has its number, so it waits until the trigger's answer is
// recorded: no replay sees another text than the one before.
func TestTextOfARun(t *testing.T) {
	t.Parallel()
	in := Input{Name: "p", Program: `
def tell(): print("beside")
r = run("a")
all([lambda: print(r), tell])
run("b", params = {"OF": str(r), "FORMAT": "%s" % r, "IN": "{}".format([r])})
`}
	out := Evaluate(in)
	require.False(t, out.Fault, out.Reason)
	require.Equal(t, []string{"a", "beside"}, titles(out.New), "what says its text waits, and nothing else")
	require.Equal(t, []string{"0"}, out.Waiting)
	for _, c := range []struct {
		value, text string
		done        bool
	}{{`{"id":7}`, "a/7", false}, {`{"id":0,"outcome":"error","reason":"there is no job"}`, "a", true}} {
		answered := in
		answered.Calls = slices.Clone(out.New)
		answered.Calls[0].Value, answered.Calls[0].Done = json.RawMessage(c.value), c.done
		next := Evaluate(answered)
		require.False(t, next.Fault, next.Reason)
		require.Equal(t, []string{c.text, "b"}, titles(next.New))
		require.Equal(t, []string{"0"}, next.New[0].After)
		require.JSONEq(t, fmt.Sprintf(`{"job":"b","parameters":{"OF":%[1]q,"FORMAT":%[1]q,"IN":"[%[2]s]"}}`, c.text, c.text), string(next.New[1].Args))
	}
}

func titles(calls []Call) (list []string) {
	for _, c := range calls {
		list = append(list, c.Title)
	}
	return list
}

// The order of dictionaries and sets is that of insertion, however often one asks.
func TestOrderOfDicts(t *testing.T) {
	t.Parallel()
	program := "d = {}\nfor i in range(200): d['k%d' % (i * 7919 % 200)] = i\nd.pop('k7')\nd['k7'] = 1\nrun('a', params = d)\nprint(','.join(d.keys()))\nprint(list(set(d.keys())))\nprint(hash('x'))"
	first := Evaluate(Input{Name: "p", Program: program})
	require.False(t, first.Fault, first.Reason)
	for range 20 {
		require.Equal(t, first, Evaluate(Input{Name: "p", Program: program}))
	}
}
