// Package toolbox is what runs inside containers. The agent's own binary is
// mounted into them, and begins there with one of the verbs below.
package toolbox

import (
	"fmt"
	"os"
	"path/filepath"

	"ci/agentd/toolbox/buildcontext"
	"ci/agentd/toolbox/checkout"
	"ci/agentd/toolbox/pid1"
	"ci/agentd/toolbox/shell"
	"ci/agentd/toolbox/ssh"
	"ci/agentd/toolbox/step"
	"ci/agentd/toolbox/unpack"
	"ci/agentd/toolbox/wall"
)

// Main carries out the verb in args (as os.Args) when it is one of the
// toolbox's and returns its exit status; ran is false when it is not. A
// program calls it before anything else in main:
//
//	init      PID 1 of a job's container
//	checkout  fetches one commit, in a container of its own
//	context   gives out what a Dockerfile may copy, in a container of its own
//	sh        a shell, for images that have none
//	ssh       an SSH client, for images that have none
//	step      runs a RUN step of a build within limits
//	unpack    puts a working tree into a volume, in a container of its own
//	pause     holds a network open
//	wall      keeps jobs away from the machine that they run on
//
// "sh" and "ssh" are recognised as the program's own name too: they are
// reached through links. Under the name ci there are no such verbs: it is the
// command line then.
func Main(args []string) (code int, ran bool) {
	if len(args) == 0 {
		return 0, false
	}
	switch filepath.Base(args[0]) {
	case "sh":
		return shell.Main(args[1:]), true
	case "ssh":
		return ssh.Main(args[1:]), true
	}
	if len(args) < 2 || filepath.Base(args[0]) == "ci" {
		return 0, false
	}
	switch args[1] {
	case "init":
		return inside("init", pid1.Main), true
	case "checkout":
		return inside("checkout", checkout.Main), true
	case "context":
		return inside("context", buildcontext.Main), true
	case "step":
		return inside("step", func() int { return step.Main(args[2:]) }), true
	case "unpack":
		return inside("unpack", unpack.Main), true
	case "pause":
		return inside("pause", pause), true
	case "wall":
		return inside("wall", wall.Main), true
	case "sh":
		return shell.Main(args[2:]), true
	case "ssh":
		return ssh.Main(args[2:]), true
	}
	return 0, false
}

// inside refuses to run a verb by hand: init kills everything it can see.
func inside(verb string, run func() int) int {
	if os.Getpid() == 1 {
		return run()
	}
	fmt.Fprintf(os.Stderr, "%s runs only as the first process of a container that an agent has made; there is no use in starting it by hand.\n", verb)
	return 2
}
