package checkout

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ci/agentd/toolbox/pipe"
)

// knownHosts is the only list of hosts that ssh believes. It is beside the
// agent's socket: in memory, since nothing else can be written here but the
// workspace, which is the job's.
const knownHosts = "/dev/shm/ci/known_hosts"

// believe writes the list.
func believe(lines string) error {
	err := os.MkdirAll(filepath.Dir(knownHosts), 0o700)
	if err == nil {
		err = os.WriteFile(knownHosts, []byte(lines), 0o600)
	}
	if err != nil {
		return fmt.Errorf("the known hosts can't be stored in the checkout's container: %w", err)
	}
	return nil
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
	words := []string{program, "-F", "none"}
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

// hint says what to do about a refusal of ssh's.
func hint(said string) string {
	switch {
	case strings.Contains(said, "Host key verification failed"):
		return "; the host is not among the hosts of the job's SSH key, or it has another key than the one that is pinned: see `ci ssh-key hosts scan`"
	case strings.Contains(said, "Permission denied (publickey"):
		return "; the server does not let the job's SSH key in: give it the public key (`ci ssh-key show`)"
	}
	return ""
}
