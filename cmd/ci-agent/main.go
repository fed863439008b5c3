// Command ci-agent is an agent machine: it takes runs from the queue and
// carries them out. The same binary is what runs inside containers.
package main

import (
	"os"

	"ci/agentd/toolbox"
	"ci/cmd/ci-agent/inner"
	"ci/cmd/ci-agent/machine"
	"ci/cmd/ci/cli"
)

func main() {
	if code, ran := toolbox.Main(os.Args); ran {
		os.Exit(code)
	}
	if code, ran := cli.Named(os.Args, machine.Version); ran {
		os.Exit(code)
	}
	if code, ran := inner.Main(os.Args, os.Stderr); ran {
		os.Exit(code)
	}
	os.Exit(machine.Main(os.Args[1:], os.Stdout, os.Stderr))
}
