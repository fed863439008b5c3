package checkout

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// environ is all that git finds in its environment. It reads no
// configuration but the repository's own, asks nobody, runs no hook, follows
// no redirect and speaks no protocol but these.
func environ(protocols, agent string) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/nonexistent", "LC_ALL=C.UTF-8",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=",
		"GIT_ALLOW_PROTOCOL=" + protocols,
		"GIT_SSH_VARIANT=ssh", "GIT_SSH_COMMAND=" + sshCommand(agent),
	}
}

// settings go to every git, by command line, so that they win.
var settings = []string{
	"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "credential.helper=",
	"-c", "http.followRedirects=false", "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60",
	"-c", "safe.directory=*", "-c", "advice.detachedHead=false", "-c", "gc.auto=0", "-c", "fetch.fsckObjects=false",
	"-c", "submodule.fetchJobs=2",
}

// git runs git in one repository.
type git struct {
	dir     string
	url     string // with a password, if there is one
	shown   string // without
	tell    func(line string)
	guarded []string // settings for submodules
	local   bool     // it fetches from a folder of this container
	agent   string   // the socket of the run's SSH agent; "" for none
	shows   string   // the Authorization header for the repository's own address; "" for none
}

// gitError is a git that failed, with its last lines.
type gitError struct{ what, said string }

func (e *gitError) Error() string {
	return fmt.Sprintf("git could not %s: %s%s", e.what, e.said, hint(e.said))
}

// run runs git, tells what it prints and puts its last lines into the error.
func (g *git) run(what string, args ...string) error {
	cmd := g.command(args...)
	messages, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer messages.Close()
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return errors.New("the toolbox image has no git: install git on the machine of the agent and start the agent again, or name a toolbox image that has it")
		}
		return fmt.Errorf("git can't be started: %w", err)
	}
	said := g.relay(messages)
	if err := cmd.Wait(); err != nil {
		if said == "" {
			said = err.Error()
		}
		return &gitError{what, said}
	}
	return nil
}

// maxLine is how much of one of git's lines is shown.
const maxLine = 4 << 10

// advice is what git says whatever went wrong, after the line that matters.
var advice = map[string]bool{
	"Please make sure you have the correct access rights": true,
	"and the repository exists.":                          true,
}

// relay passes git's messages on, without the password, and returns the last few lines.
func (g *git) relay(messages io.Reader) string {
	var last []string
	lines := bufio.NewScanner(messages)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := g.discreet(lines.Text())
		g.tell(line[:min(len(line), maxLine)])
		if line = strings.TrimSpace(line); line != "" && !advice[line] {
			last = append(last, line[:min(len(line), maxLine)])
			last = last[max(0, len(last)-5):]
		}
	}
	_, _ = io.Copy(io.Discard, messages) // a line beyond all measure
	return strings.Join(last, " / ")
}

// discreet takes the address's password out of what git says.
func (g *git) discreet(text string) string {
	hide := []string{g.url, g.shown}
	if u, err := url.Parse(g.url); err == nil && u.User != nil && g.url != g.shown {
		hide = append(hide, u.User.String()+"@", "")
		if password, _ := u.User.Password(); len(password) >= 4 {
			hide = append(hide, password, "***")
		}
	}
	return strings.NewReplacer(hide...).Replace(text)
}

// output runs git quietly and returns what it prints.
func (g *git) output(args ...string) (string, error) {
	out, err := g.command(args...).Output()
	if err != nil {
		var exit *exec.ExitError
		said := err.Error()
		if errors.As(err, &exit) && len(exit.Stderr) > 0 {
			said = g.discreet(strings.TrimSpace(string(exit.Stderr)))
		}
		return "", &gitError{"answer " + args[0], said}
	}
	return string(out), nil
}

func (g *git) command(args ...string) *exec.Cmd {
	cmd := exec.Command("git", slices.Concat(settings, g.guarded, args)...)
	cmd.Dir = g.dir
	allowed := protocols(g.url, args[0] == "submodule")
	if g.local {
		allowed = "file"
	}
	cmd.Env = environ(allowed, g.agent)
	if g.shows != "" && args[0] == "fetch" && !g.local {
		cmd.Env = append(cmd.Env, authorized(g.url, g.shows)...)
	}
	return cmd
}

// authorized has git show something to one address: neither to its redirects nor
// to submodules. As variables, it is neither stored nor in the list of processes.
func authorized(address, header string) []string {
	return []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http." + address + ".extraHeader", "GIT_CONFIG_VALUE_0=Authorization: " + header}
}

// protocols is what git may speak: any of ours for the repository, which the
// planner has approved. Submodules come from the commit's author: only what
// authenticates its server, and what the repository itself uses.
func protocols(url string, submodules bool) string {
	if !submodules {
		return "https:ssh:http:git"
	}
	for _, open := range []string{"http", "git"} {
		if strings.HasPrefix(strings.ToLower(url), open+"://") {
			return "https:ssh:" + open
		}
	}
	return "https:ssh"
}

// display is an address without user and password, unless the user is part
// of it, as in ssh://git@host.
func display(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address
	}
	if u.Scheme == "ssh" {
		u.User = url.User(u.User.Username())
	} else {
		u.User = nil
	}
	return u.String()
}

// gone says whether the server knows for certain of no such commit.
func gone(err error) bool { return says(err, "not our ref") }

// refused says whether the server gives out only what it advertises.
func refused(err error) bool {
	return says(err, "unadvertised object", "is not valid", "dumb http transport", "does not support shallow")
}

func says(err error, texts ...string) bool {
	var g *gitError
	if !errors.As(err, &g) {
		return false
	}
	for _, t := range texts {
		if strings.Contains(g.said, t) {
			return true
		}
	}
	return false
}
