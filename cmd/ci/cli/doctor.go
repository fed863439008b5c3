package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

// grade says how a check came out.
type grade string

const (
	gradeOK   grade = "ok"
	gradeWarn grade = "warn"
	gradeFail grade = "fail"
)

// finding is one line of the doctor's.
type finding struct {
	Name  string `json:"name"`
	Grade grade  `json:"grade"`
	// Detail says what was found, Do what to do about it; "" when all is well.
	Detail string `json:"detail"`
	Do     string `json:"do,omitempty"`
	// code is the exit code of a failure.
	code int
}

func good(name, format string, args ...any) finding {
	return finding{Name: name, Grade: gradeOK, Detail: fmt.Sprintf(format, args...)}
}

func warn(name, do, format string, args ...any) finding {
	return finding{Name: name, Grade: gradeWarn, Detail: fmt.Sprintf(format, args...), Do: do}
}

func bad(name string, code int, do, format string, args ...any) finding {
	return finding{Name: name, Grade: gradeFail, Detail: fmt.Sprintf(format, args...), Do: do, code: code}
}

func findingPiped() []column[finding] {
	return []column[finding]{
		{"grade", func(f finding) string { return string(f.Grade) }, nil},
		{"name", func(f finding) string { return f.Name }, nil},
		{"detail", func(f finding) string { return f.Detail }, nil},
		{"what to do", func(f finding) string { return f.Do }, nil},
	}
}

func newDoctor(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the settings, the server, the token and this machine",
		Long: "Check what ci needs, and say of each thing whether it is ok, worth a warning, or fails, and what to do: the settings, the server and its parts, " +
			"the token and its role, both clocks, the agents and their versions, and on this machine git, the Docker engine of `ci exec`, and the terminal.\n\n" +
			"The exit code is 0 unless something fails: then it is that of the first failure (see `ci help exit-codes`).\n\n" + pipedColumns(findingPiped()),
		Example: "  ci doctor\n  ci doctor --json --jq '.checks[] | select(.grade != \"ok\")'",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context()) },
	}
	return document(cmd, "checks", []string{"name", "grade", "detail", "do"})
}

// doctorPatience is how long the server may take for one answer.
const doctorPatience = 10 * time.Second

func (a *app) doctor(ctx context.Context) error {
	found := append(a.checkServer(ctx), a.checkGit(ctx), a.checkDocker(ctx), a.checkTerminal())
	if err := a.printFindings(ctx, found); err != nil {
		return err
	}
	for _, f := range found {
		if f.Grade == gradeFail {
			return &exitError{code: f.code}
		}
	}
	return nil
}

func (a *app) printFindings(ctx context.Context, found []finding) error {
	if a.wantsJSON() {
		return a.printItem(ctx, map[string]any{"checks": found})
	}
	if !a.OutTTY {
		printTable(a, found, nil, findingPiped())
		return nil
	}
	styles := map[grade]style{gradeOK: green, gradeWarn: yellow, gradeFail: red}
	for _, f := range found {
		fmt.Fprintf(a.Out, "%s %-9s %s\n", a.outStyle(styles[f.Grade], fmt.Sprintf("%-4s", f.Grade)), f.Name, clean(f.Detail))
		if f.Do != "" {
			fmt.Fprintf(a.Out, "     %-9s %s\n", "", clean(f.Do))
		}
	}
	return nil
}

// checkServer checks everything that is asked of the server. It ends with the
// first thing without which the others say nothing.
func (a *app) checkServer(ctx context.Context) []finding {
	e, err := a.endpoint()
	if err != nil {
		return []finding{bad("settings", exitUsage, "Run `ci login URL`, or set CI_URL and CI_TOKEN.", "%v", err)}
	}
	found := []finding{a.checkSettings(e)}
	anyone := newREST(endpoint{URL: e.URL}, a.userAgent()) // these need no token
	server, date := a.checkHealth(ctx, anyone)
	if found = append(found, server); server.Grade == gradeFail {
		return found
	}
	found = append(found, a.checkEncryption(e), a.checkClock(date), a.checkReady(ctx, anyone))
	token := a.checkToken(ctx, newREST(e, a.userAgent()))
	if found = append(found, token); token.Grade == gradeFail {
		return found
	}
	return append(found, a.checkAgents(ctx))
}

func (a *app) checkSettings(e endpoint) finding {
	from := "context " + a.contextName()
	if a.Env("CI_URL") != "" {
		from = "CI_URL"
	}
	if path, err := a.contextsPath(); err == nil {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
			return warn("settings", "Run: chmod 600 "+path, "%s, from %s; but others may read your tokens", e.URL, from)
		}
	}
	return good("settings", "%s, from %s", e.URL, from)
}

// contextName is the context that is used when CI_URL is not set.
func (a *app) contextName() string {
	if a.context != "" {
		return a.context
	}
	if stored, err := a.loadContexts(); err == nil {
		return stored.Current
	}
	return ""
}

// checkHealth asks whether the server lives, and for its clock.
func (a *app) checkHealth(ctx context.Context, r *rest) (finding, time.Time) {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	begun := time.Now()
	res, err := r.do(ctx, http.MethodGet, "/healthz", nil)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("it does not answer within %s", doctorPatience)
		}
		return bad("server", exitUnreachable, "Is the address right, and is cid running? Is there a proxy or a firewall in between?", "%v", err), time.Time{}
	}
	defer res.Body.Close() //nolint:errcheck // only read from
	date, _ := http.ParseTime(res.Header.Get("Date"))
	return good("server", "answers after %s", time.Since(begun).Round(time.Millisecond)), date
}

func (a *app) checkEncryption(e endpoint) finding {
	switch {
	case strings.HasPrefix(e.URL, "https:"):
		return good("transport", "TLS, and the certificate is valid")
	case plainIsFine(e.URL):
		return good("transport", "not encrypted, and not needed within this machine")
	}
	return warn("transport", "Put TLS in front of the server and use https.", "%s is not encrypted; whoever sees the network sees the token", e.URL)
}

// Clocks that differ by more than this make ages wrong, or tokens expire early.
const (
	skewWarn = 5 * time.Second
	skewFail = 5 * time.Minute
)

func (a *app) checkClock(server time.Time) finding {
	if server.IsZero() {
		return warn("clock", "Is a proxy in between that removes headers?", "the server does not tell its time")
	}
	skew := a.Now().Sub(server).Round(time.Second)
	const do = "Set both machines' clocks, best by NTP."
	switch {
	case skew.Abs() > skewFail:
		return bad("clock", exitOther, do, "this machine's clock differs by %s from the server's", skew)
	case skew.Abs() > skewWarn:
		return warn("clock", do, "this machine's clock differs by %s from the server's", skew)
	}
	return good("clock", "the same as the server's, to %s", skewWarn)
}

func (a *app) checkReady(ctx context.Context, r *rest) finding {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	if _, err := r.document(ctx, http.MethodGet, "/readyz", nil); err != nil {
		return bad("parts", exitUnreachable, "See the server's log, and docs/operations.md.", "%v", err)
	}
	return good("parts", "database, queue and storage of the server answer")
}

// caller is what the doctor reads of GET /whoami.
type caller struct {
	Name, Role, Agent string
	Jobs              []string
	ExpiresAt         time.Time
}

// expiresSoon is how long before its end a token is worth a warning.
const expiresSoon = 7 * 24 * time.Hour

// checkToken asks the server whom the token stands for.
func (a *app) checkToken(ctx context.Context, r *rest) finding {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	if r.Token == "" {
		return bad("token", exitNotFound, "Run `ci login "+r.URL+"`, or set CI_TOKEN.", "there is none")
	}
	answer, err := r.document(ctx, http.MethodGet, "/whoami", nil)
	if ci.CodeOf(err) == ci.CodeUnauthorized {
		return bad("token", exitNotFound, "Get a new one, and give it to `ci login "+r.URL+"`.", "%v", err)
	}
	var c caller
	if err == nil {
		err = json.Unmarshal(answer, &c)
	}
	if err != nil {
		return bad("token", exitCode(err), "See `ci help exit-codes`. Is the server of the same version?", "%v", err)
	}
	if left := c.ExpiresAt.Sub(a.Now()); !c.ExpiresAt.IsZero() && left < expiresSoon {
		return warn("token", "Have a new one made before that.", "%s; it ends in %s", c.describe(), left.Round(time.Minute))
	}
	return good("token", "%s", c.describe())
}

// describe says in one line who calls.
func (c *caller) describe() string {
	text := fmt.Sprintf("%s, role %s", c.Name, c.Role)
	if len(c.Jobs) > 0 {
		text += ", limited to " + strings.Join(c.Jobs, ", ")
	}
	if c.Agent != "" {
		text += ", of agent " + c.Agent
	}
	return text
}

func (a *app) checkAgents(ctx context.Context) finding {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	c, err := a.client()
	if err != nil {
		return bad("agents", exitOther, "See `ci help exit-codes`.", "%v", err)
	}
	agents, err := a.awaitAgents(ctx, c)
	if err != nil {
		return warn("agents", "Only some roles may list agents.", "%v", err)
	}
	ready, versions := 0, []string{}
	for _, g := range agents {
		if a.agentState(g) != "ready" {
			continue
		}
		if ready++; !slices.Contains(versions, g.Version) {
			versions = append(versions, g.Version)
		}
	}
	slices.Sort(versions)
	switch {
	case ready == 0:
		return warn("agents", "Start one, or see why: ci agent ls", "none of %d is ready, so runs wait", len(agents))
	case len(versions) != 1 || versions[0] != a.Version:
		return warn("agents", "Bring all to one version.", "%d ready, with %s; this is %s", ready, strings.Join(versions, ", "), a.Version)
	}
	return good("agents", "%d ready, with this version: %s", ready, a.Version)
}

const (
	// startingPatience is how long an agent that starts together with its server may take to be ready.
	startingPatience = 10 * time.Second
	startingPause    = 250 * time.Millisecond
)

// awaitAgents lists the agents. While none is heard of, or they are starting, it
// waits a moment: right after a server's start its agent is on the way.
func (a *app) awaitAgents(ctx context.Context, c Client) ([]ci.Agent, error) {
	coming := func(g ci.Agent) bool { return a.agentState(g) == "away" || g.Problem == ci.AgentStarting }
	over := time.After(startingPatience)
	for told := false; ; told = true {
		agents, err := c.ListAgents(ctx)
		if err != nil || slices.ContainsFunc(agents, func(g ci.Agent) bool { return !coming(g) }) {
			return agents, err
		}
		if !told {
			a.note("No agent is ready yet. Waiting %s for one that starts…", startingPatience)
		}
		select {
		case <-time.After(startingPause):
		case <-over:
			return agents, nil
		case <-ctx.Done():
			return agents, nil
		}
	}
}

func (a *app) checkGit(ctx context.Context) finding {
	out, err := exec.CommandContext(ctx, "git", "--version").Output()
	if err != nil {
		return warn("git", "Install git: --commit HEAD and `ci exec` need it.", "not found")
	}
	return good("git", "%s", strings.TrimSpace(string(out)))
}

func (a *app) checkTerminal() finding {
	switch {
	case !a.OutTTY:
		return good("terminal", "none: columns are separated by tabs, and nothing is asked")
	case a.Env("TERM") == "dumb" || a.Env("TERM") == "":
		return warn("terminal", "Set TERM to what the terminal is, for example xterm-256color.", "it can't show colours, and nothing is asked")
	case !strings.Contains(strings.ToUpper(a.Env("LC_ALL")+a.Env("LC_CTYPE")+a.Env("LANG")), "UTF"):
		return warn("terminal", "Set LANG to one with UTF-8, for example C.UTF-8.", "%d columns; the locale does not say that it shows UTF-8", a.Width)
	case !a.OutColor:
		return good("terminal", "%d columns, UTF-8, without colours as the environment says", a.Width)
	}
	return good("terminal", "%d columns, UTF-8, colours", a.Width)
}
