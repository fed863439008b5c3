package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// maxErrors is how much of git's complaints is kept, in bytes.
	maxErrors = 16 << 10
	// waitDelay is how long a killed git's pipes may stay open.
	waitDelay = 2 * time.Second
)

// repository makes an empty bare repository by hand: it is four files, and git
// init would cost a process and copy templates.
func repository(dir, format string) error {
	for _, d := range []string{"objects", "refs"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	config := "[core]\n\trepositoryformatversion = 1\n\tbare = true\n" +
		"[extensions]\n\tobjectFormat = " + format + "\n\tpartialClone = origin\n"
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "HEAD"), []byte("ref: refs/heads/none\n"), 0o600)
}

// git runs one git command in dir and returns at most limit bytes of its
// output; over says that there was more. Its error is a *gitError.
func (t *tree) git(ctx context.Context, limit int, args ...string) (out []byte, over bool, err error) {
	cmd := exec.CommandContext(ctx, t.source.cfg.Git, args...)
	cmd.Dir = t.dir
	cmd.Env = t.environment()
	// A group of its own, so that git's helpers and ssh die with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = waitDelay
	stdout, stderr := &capped{left: limit}, &capped{left: maxErrors, quiet: true}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err = cmd.Start(); err != nil {
		return nil, false, &gitError{args: args, err: err}
	}
	limitFiles(cmd.Process.Pid)
	err = cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whoever of its group is left
	if stdout.over {
		return stdout.data, true, nil
	}
	if err != nil {
		return nil, false, &gitError{args: args, stderr: string(stderr.data), err: errors.Join(ctx.Err(), err)}
	}
	return stdout.data, false, nil
}

// environment is all that git gets: nothing of ours but where programs are.
// Configuration comes as variables, so that git's own children have it too.
func (t *tree) environment() []string {
	cfg := &t.source.cfg
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + t.dir,
		"LC_ALL=C",
		"GIT_DIR=" + t.dir,
		"GIT_TERMINAL_PROMPT=0",
		"GIT_ASKPASS=",
		"SSH_ASKPASS=",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_LITERAL_PATHSPECS=1",
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_ALLOW_PROTOCOL=" + t.remote.scheme,
		"GIT_SSH_VARIANT=ssh",
		"GIT_SSH_COMMAND=" + t.ssh(),
	}
	settings := [][2]string{
		{"remote.origin.url", t.remote.raw},
		{"remote.origin.promisor", strconv.FormatBool(!t.whole)},
		{"protocol.ext.allow", "never"},
		{"protocol.file.allow", "never"},
		{"protocol.version", "2"},
		{"http.followRedirects", "false"},
		{"http.lowSpeedLimit", "1000"},
		{"http.lowSpeedTime", "20"},
		{"http.emptyAuth", "false"},
		{"credential.helper", ""},
		{"core.hooksPath", "/dev/null"},
		{"core.askPass", ""},
		{"core.fsync", "none"},
		{"gc.auto", "0"},
		{"maintenance.auto", "false"},
		{"transfer.bundleURI", "false"},
		{"fetch.recurseSubmodules", "false"},
		{"fetch.unpackLimit", "1"},
	}
	if cfg.CAFile != "" {
		settings = append(settings, [2]string{"http.sslCAInfo", cfg.CAFile})
	}
	if len(t.addrs) > 0 {
		settings = append(settings, [2]string{"http.curloptResolve", pin(t.remote, t.addrs)})
	}
	if t.http != nil { // for this repository alone, and by a way that is not in the list of processes
		settings = append(settings, [2]string{"http." + t.remote.raw + ".extraHeader", "Authorization: " + t.http.Authorization()})
	}
	env = append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)))
	for i, s := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, s[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, s[1]))
	}
	return env
}

// pin is curl's word for "this host is at these addresses".
func pin(r remote, addrs []netip.Addr) string {
	var list []string
	for _, a := range addrs {
		if a.Is6() {
			list = append(list, "["+a.String()+"]")
		} else {
			list = append(list, a.String())
		}
	}
	return net.JoinHostPort(r.host, strconv.Itoa(r.port)) + ":" + strings.Join(list, ",")
}

// ssh is the command that git reaches ssh hosts with: no questions, no unknown
// hosts, none of a user's configuration.
func (t *tree) ssh() string {
	args := []string{"ssh", "-F", "/dev/null"}
	option := func(name, value string) { args = append(args, "-o", quote(name+"="+value)) }
	option("BatchMode", "yes")
	option("StrictHostKeyChecking", "yes")
	option("UpdateHostKeys", "no")
	option("ConnectTimeout", "15")
	option("ForwardAgent", "no")
	option("ClearAllForwardings", "yes")
	option("PermitLocalCommand", "no")
	option("ControlPath", "none")
	if t.key != nil {
		for _, o := range t.key.options() {
			args = append(args, "-o", quote(o))
		}
	}
	if len(t.addrs) > 0 { // to the address that was checked
		option("Hostname", t.addrs[0].String())
	}
	option("HostKeyAlias", alias(t.remote)) // and by the key of the name
	return strings.Join(args, " ")
}

// quote makes one word of the shell that reads GIT_SSH_COMMAND.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// capped keeps the first bytes of an output. Past them it fails, which ends
// the writer, or quietly drops the rest.
type capped struct {
	data  []byte
	left  int
	quiet bool
	over  bool
}

func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.data = append(c.data, p[:n]...)
	c.left -= n
	if n < len(p) {
		c.over = true
		if !c.quiet {
			return n, errors.New("too much output")
		}
	}
	return len(p), nil
}
