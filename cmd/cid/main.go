// Command cid is the backend: it serves the API, records runs, and, on a
// machine with Docker, carries them out.
package main

import (
	"os"

	"ci/agentd/toolbox"
	"ci/cmd/ci-agent/machine"
	"ci/cmd/ci/cli"
	"ci/cmd/cid/daemon"
	"ci/pkg/replay"
)

func main() {
	if code, ran := toolbox.Main(os.Args); ran {
		os.Exit(code)
	}
	if code, ran := replay.Main(os.Args, os.Stdin, os.Stdout); ran {
		os.Exit(code)
	}
	if code, ran := cli.Named(os.Args, machine.Version); ran {
		os.Exit(code)
	}
	os.Exit(daemon.Main(os.Args[1:], os.Stdout, os.Stderr))
}
