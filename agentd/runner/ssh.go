package runner

import "ci/pkg/sshkey"

// agentSocket is where the script finds the run's SSH agent.
const agentSocket = "/run/ci/ssh-agent"

// forward lets the script reach the run's SSH key, when its job file says
// ssh: true. The key itself stays in this process.
func (r *Runner) forward(o *Order) {
	if !o.Spec.SSH {
		return
	}
	if o.SSH == nil {
		r.console.say("The job file says ssh: true, and the run has no SSH key: no agent is there. Name one in the job's git.sshKey.")
		return
	}
	agent, err := sshkey.NewAgent(*o.SSH, func(line string) { r.console.say("%s", line) })
	if err != nil { // the key was made by the backend, which reads it too
		r.console.say("The run's SSH key can't be used, so no agent is there: %v.", err)
		return
	}
	o.Relays = append(o.Relays, Relay{Network: "unix", Address: agentSocket, Serve: agent.Serve})
	o.Env = append(o.Env, "SSH_AUTH_SOCK="+agentSocket)
}
