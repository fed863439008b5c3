package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/itchyny/gojq"
	"github.com/rogpeppe/go-internal/testscript"

	"ci/e2e/rig"
)

func client(ts *testscript.TestScript) *rig.Client {
	return rig.NewClient(ts.Getenv("CI_URL"), ts.Getenv("CI_TOKEN"))
}

// ask sends a request and keeps the answer.
func ask(ts *testscript.TestScript, method, path string, body []byte, headers ...string) {
	a, err := client(ts).Do(context.Background(), method, path, body, headers...)
	ts.Check(err)
	on(ts).answer = a
	ts.Logf("%d %s %.600s", a.Status, a.Header.Get("Content-Type"), a.Body)
}

var header = regexp.MustCompile(`^[A-Za-z-]+:`)

func httpCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 0)
	var body []byte
	var headers []string
	for _, a := range args[2:] {
		switch {
		case strings.HasPrefix(a, "@"):
			body = expand(ts, []byte(ts.ReadFile(a[1:])))
		case header.MatchString(a):
			headers = append(headers, a)
		default:
			body = []byte(a)
		}
	}
	ask(ts, args[0], args[1], body, headers...)
}

var placeholder = regexp.MustCompile(`<[A-Z_]+>`)

// expand puts the script's variables in the places of <NAME>.
func expand(ts *testscript.TestScript, text []byte) []byte {
	return placeholder.ReplaceAllFunc(text, func(name []byte) []byte {
		if v := ts.Getenv(string(name[1 : len(name)-1])); v != "" {
			return []byte(v)
		}
		return name
	})
}

func putCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2)
	body, err := yaml.YAMLToJSON(expand(ts, []byte(ts.ReadFile(args[1]))))
	ts.Check(err)
	ask(ts, "PUT", "/jobs/"+args[0], body)
	if code := on(ts).answer.Status; code != 200 && code != 201 {
		ts.Fatalf("the job was not put: %d %s", code, on(ts).answer.Body)
	}
}

func triggerCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 2)
	ask(ts, "POST", "/jobs/"+args[0]+"/runs", []byte(strings.Join(append(args[1:], "{}")[:1], "")))
	s := on(ts)
	var run rig.Run
	if err := json.Unmarshal(s.answer.Body, &run); err != nil || s.answer.Status != 201 {
		ts.Fatalf("not triggered: %d %s", s.answer.Status, s.answer.Body)
	}
	ts.Setenv("ID", strconv.FormatInt(run.ID, 10))
	ts.Setenv("RUN", fmt.Sprintf("/jobs/%s/runs/%d", args[0], run.ID))
}

func statusCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	if a := answer(ts); strconv.Itoa(a.Status) != args[0] {
		ts.Fatalf("the status is %d: %.2000s", a.Status, a.Body)
	}
}

func answer(ts *testscript.TestScript) *rig.Answer {
	a := on(ts).answer
	if a == nil {
		ts.Fatalf("nothing was asked yet")
	}
	return a
}

func headerCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: [!] header NAME [VALUE]")
	}
	got := answer(ts).Header.Get(args[0])
	ok := got != "" && (len(args) == 1 || got == args[1])
	if ok == neg {
		ts.Fatalf("%s is %q", args[0], got)
	}
}

// query applies an expression of jq to JSON.
func query(body []byte, expression string) (any, error) {
	q, err := gojq.Parse(expression)
	if err != nil {
		return nil, err
	}
	var doc any
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("%w in %.500s", err, body)
	}
	v, _ := q.Run(doc).Next()
	if err, ok := v.(error); ok {
		return nil, err
	}
	return v, nil
}

// text is how a value of JSON is compared: strings as they are.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, _ := gojq.Marshal(v)
	return string(b)
}

func jqCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: [!] jq EXPR [VALUE]")
	}
	v, err := query(answer(ts).Body, args[0])
	ts.Check(err)
	ok := v != nil && v != false
	if len(args) == 2 {
		ok = text(v) == args[1]
	}
	if ok == neg {
		ts.Fatalf("%s is %s", args[0], text(v))
	}
}

func setCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2)
	if name, ok := strings.CutPrefix(args[1], "header:"); ok {
		ts.Setenv(args[0], answer(ts).Header.Get(name))
		return
	}
	v, err := query(answer(ts).Body, args[1])
	ts.Check(err)
	ts.Setenv(args[0], text(v))
}

func saveCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), answer(ts).Body, 0o600))
}

func bodyCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 0 || neg {
		ts.Fatalf("usage: body, and then stdout REGEXP")
	}
	_, _ = ts.Stdout().Write(answer(ts).Body)
}

func problemCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 2)
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	re := ""
	if len(args) == 2 {
		re = args[1]
	}
	ts.Check(isProblem(answer(ts), want, re))
}

// isProblem checks what every error of the API has in common (RFC 9457).
func isProblem(a *rig.Answer, status int, re string) error {
	kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	var p struct {
		Status int
		Title  string
		Detail string
	}
	err := json.Unmarshal(a.Body, &p)
	switch {
	case a.Status != status:
		return fmt.Errorf("the status is %d, not %d: %.1000s", a.Status, status, a.Body)
	case kind != "application/problem+json":
		return fmt.Errorf("the answer is %q, not application/problem+json: %.1000s", kind, a.Body)
	case err != nil:
		return fmt.Errorf("%w in %.1000s", err, a.Body)
	case p.Status != status || p.Title == "":
		return fmt.Errorf("status or title is missing: %.1000s", a.Body)
	case bytes.Contains(a.Body, []byte("goroutine ")):
		return fmt.Errorf("it shows a stack: %.1000s", a.Body)
	case a.Header.Get("Cache-Control") != "no-store":
		return fmt.Errorf("an error may be cached: %q", a.Header.Get("Cache-Control"))
	}
	want, err := regexp.Compile(re)
	if err != nil {
		return err
	}
	if !want.Match(a.Body) {
		return fmt.Errorf("%.1000s does not match %q", a.Body, re)
	}
	return nil
}
