package checkout

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"ci/agentd/toolbox/pipe"
)

// knownHosts is the only list of hosts that ssh believes. It is beside the
// agent's socket: in memory, since nothing else can be written here but the
// workspace, which is the job's.
const knownHosts = "/dev/shm/ci/known_hosts"

// sshConfig is ssh's only configuration.
const sshConfig = "/dev/shm/ci/ssh_config"

// believe writes the list, and the configuration that keeps ssh from
// connecting to anybody else: a submodule's address may name any machine that
// the agent's can reach.
func believe(lines, address string) error {
	err := os.MkdirAll(filepath.Dir(knownHosts), 0o700)
	if err == nil {
		err = os.WriteFile(knownHosts, []byte(lines), 0o600)
	}
	if err == nil {
		err = os.WriteFile(sshConfig, []byte(config(lines, address)), 0o600)
	}
	if err != nil {
		return fmt.Errorf("the known hosts can't be stored in the checkout's container: %w", err)
	}
	return nil
}

// nowhere is a host that there is not (RFC 6761), and says why it is asked for.
const nowhere = "not-a-host-of-the-ssh-key.invalid"

// config leads every host but the known ones to nowhere, and these at every
// port but the known ones too (ssh_config(5), Host and Match): what listens at
// the others is not ssh's to touch. The repository's own host may be written in
// another case. The command sees nothing of an address but its port, which ssh
// has made a number.
func config(lines, address string) string {
	known := map[string]map[string]bool{}
	for line := range strings.Lines(lines) {
		name, _, _ := strings.Cut(line, " ")
		port := "22"
		if bracketed, ok := strings.CutPrefix(name, "["); ok {
			name, port, _ = strings.Cut(bracketed, "]:")
		}
		if name = strings.TrimSpace(name); name != "" {
			if known[name] == nil {
				known[name] = map[string]bool{}
			}
			known[name][port] = true
		}
	}
	written := written(address)
	if ports := known[strings.ToLower(strings.TrimSuffix(written, "."))]; ports != nil {
		known[written] = ports
	}
	var b strings.Builder
	b.WriteString("Host *")
	names := slices.Sorted(maps.Keys(known))
	for _, name := range names {
		b.WriteString(" !" + name)
	}
	b.WriteString("\n  HostName " + nowhere + "\n")
	for _, name := range names {
		ports := strings.Join(slices.Sorted(maps.Keys(known[name])), "|")
		fmt.Fprintf(&b, "Match originalhost %s exec \"case %%p in %s) exit 1;; esac\"\n  HostName %s\n", name, ports, nowhere)
	}
	return b.String()
}

// written is an ssh address's host as it is written, where that is a name.
func written(address string) string {
	host, _, err := sshAddress(address)
	if err != nil {
		return ""
	}
	name := host[len(host)-1]
	name = name[strings.LastIndex(name, "@")+1:]
	if strings.ContainsAny(name, "*?!, \t\r\n\"'") {
		return ""
	}
	return name
}

// sshCommand is how git reaches ssh hosts: by the run's key alone, hosts whose
// keys are pinned, no configuration, no questions, and nothing forwarded.
func sshCommand(agent string) string {
	if agent == "" {
		agent = "none"
	}
	program := "ssh"
	if _, err := exec.LookPath("ssh"); err != nil {
		program = pipe.Binary + " ssh"
	}
	words := []string{program, "-F", sshConfig}
	for _, option := range []string{
		"BatchMode=yes", "StrictHostKeyChecking=yes", "UserKnownHostsFile=" + knownHosts, "GlobalKnownHostsFile=/dev/null",
		"UpdateHostKeys=no", "IdentityFile=none", "IdentityAgent=" + agent, "PreferredAuthentications=publickey",
		"ForwardAgent=no", "ClearAllForwardings=yes", "PermitLocalCommand=no", "ControlPath=none",
		"ConnectTimeout=30", "ServerAliveInterval=20", "ServerAliveCountMax=3",
	} {
		words = append(words, "-o", option)
	}
	return strings.Join(words, " ")
}

// hint says what to do about a refusal.
func hint(said string) string {
	switch {
	case strings.Contains(said, "Host key verification failed"), strings.Contains(said, nowhere):
		return "; the host is not among the hosts of the job's SSH key, or it has another key than the one that is pinned: see `ci ssh-key hosts scan`"
	case strings.Contains(said, "could not read Username"):
		return "; the server wants somebody to log in: look whether the forge's App is installed for the repository, and whether an agent with access to the database has its --secret-key"
	case strings.Contains(said, "Permission denied (publickey"):
		return "; the server does not let the job's SSH key in: give it the public key (`ci ssh-key show`)"
	}
	return ""
}
