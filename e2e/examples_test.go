package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ci/cmd/ci/cli"
)

// exampleLimit is how long one example may take.
const exampleLimit = 3 * time.Minute

// prelude is what an example needs beside what examples.txtar prepares, by the
// verb that it begins with; "" is for all.
var prelude = map[string]string{
	"":                     "ci wait unit-test@latest deploy@latest",
	"ci abort":             "ci run slow --branch main",
	"ci context":           "ci login \"$CI_URL\" --name work < token; ci login \"$CI_URL\" --name other < token",
	"ci event-trigger":     "ci event-trigger apply triggers.yaml",
	"ci event-trigger rm":  "sed 's/^name: .*/name: old-test/' triggers.yaml | ci event-trigger apply -",
	"ci job rm":            "ci job apply old-test --freestyle hello.yaml; ci job apply older-test --freestyle hello.yaml",
	"ci pipeline":          "ci pipeline apply release release.star; ci pipeline run release --wait",
	"ci pipeline abort":    "ci pipeline apply asking asking.star; ci pipeline apply release asking.star; ci pipeline run release",
	"ci pipeline approve":  "ci pipeline apply release asking.star; ci pipeline run release; until ci pipeline graph release | grep approve; do sleep 0.1; done",
	"ci pipeline rerun":    "ci pipeline apply release failing.star; ! ci pipeline run release --wait",
	"ci pipeline rm":       "ci pipeline apply old-release release.star",
	"ci registry rm":       "ci registry set registry.example.com:5000 --username ci < password",
	"ci secret rm":         "ci secret set deploy NPM_TOKEN < password",
	"ci ssh-key":           "ci ssh-key create deploy",
	"ci ssh-key hosts rm":  "ci ssh-key hosts add deploy < known_hosts",
	"ci token revoke":      "ci token create deploy-bot --role trigger",
	"ci result get":        "rm -rf results junit.xml",
	"ci queue unit-test":   "ci run unit-test --branch main",
	"ci ssh-key hosts add": "ci ssh-key create deploy",
}

// endless are the examples that go on until they are interrupted, or until a person was at a browser.
var endless = []string{"ci events ", "ci forge setup "}

// asking are the ends of examples that go on until a person answers.
const asking = " --browser"

// examplesCommand carries out every example of the command line's help, in the
// order of the help, as a person would who has what examples.txtar prepares.
func examplesCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, append(args, ""), 1, 1)
	// What examples call by a name of the wide world is of this stage.
	here := strings.NewReplacer(
		"https://git.example.com/project.git", ts.Getenv("GIT_URL")+"/project.git",
		"https://ci.example.com", ts.Getenv("CI_URL"), "http://127.0.0.1:8080", ts.Getenv("CI_URL"),
		"git.example.com:2222", ts.Getenv("SSH_HOST")+":"+ts.Getenv("SSH_PORT"), "git.example.com", ts.Getenv("SSH_HOST")+":"+ts.Getenv("SSH_PORT"),
		"SHA256:…", ts.Getenv("SSH_FINGERPRINT"), "AAAA…", ts.Getenv("SSH_KEY"), "builder-3", ts.Getenv("AGENT"),
	)
	tried := 0
	for _, e := range cli.Examples() {
		switch {
		case e.Line == "":
			ts.Fatalf("the help of %q has no example", e.Verb)
		case !strings.Contains(e.Line, e.Verb) && e.Verb != "ci":
			ts.Fatalf("the example %q is not one of %q", e.Line, e.Verb)
		}
		for _, begin := range slices.Sorted(maps.Keys(prelude)) { // what is more special comes later
			if strings.Contains(e.Line, begin) {
				_, _ = shell(ts, here.Replace(prelude[begin])) // the example itself says what was missing
			}
		}
		if out, err := shell(ts, here.Replace(e.Line)); err != nil {
			ts.Fatalf("the example %q does not work: %v\n%s", e.Line, err, out)
		}
		tried++
	}
	ts.Logf("%d examples work", tried)
}

// shell runs one line. Its standard input is a token, which is what verbs read that are given nothing else.
func shell(ts *testscript.TestScript, line string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), exampleLimit)
	defer cancel()
	for _, begin := range endless {
		if strings.HasPrefix(line, begin) {
			line = "timeout --signal INT 2 " + line + "; test $? = 124"
		}
	}
	if strings.HasSuffix(line, asking) { // nobody says anything for longer than it is given
		line = "sleep 4 | timeout --signal INT 2 " + line + "; test $? = 124"
	}
	stdin, err := os.Open(ts.MkAbs("token"))
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -o pipefail; "+line)
	cmd.Dir, cmd.Stdin = ts.MkAbs("."), stdin
	cmd.Env = append(environ(ts), "CI_URL="+ts.Getenv("CI_URL"), "CI_TOKEN="+ts.Getenv("CI_TOKEN"), "XDG_CONFIG_HOME="+ts.Getenv("XDG_CONFIG_HOME"), "NPM_TOKEN=0123456789")
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = errors.Join(err, fmt.Errorf("it takes longer than %s", exampleLimit))
	}
	return out, err
}
