// Command ci is the command line: it triggers runs, follows them and manages
// jobs over the API. Inside the containers of `ci exec` it is the toolbox.
package main

import (
	"context"
	"os"

	"ci/cmd/ci/cli"
)

var version = "dev" // the linker sets it

func main() {
	if code, ran := inside(os.Args); ran {
		os.Exit(code)
	}
	if code, ran := cli.Named(os.Args, version); ran {
		os.Exit(code)
	}
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.System(version)))
}
