package cli

import (
	"context"
	"path/filepath"
)

// Named carries out args (as os.Args) and returns the exit code when the program
// was called as ci; ran is false when it was not. cid and ci-agent are ci too, by a link in
// the containers of jobs that call the API: one binary there serves all.
func Named(args []string, version string) (code int, ran bool) {
	if len(args) == 0 || filepath.Base(args[0]) != "ci" {
		return 0, false
	}
	return Main(context.Background(), args[1:], System(version)), true
}
