package cli

import (
	"context"
	"path/filepath"
)

// CredentialHelper is the name by which programs that log in to registries call ci.
const CredentialHelper = "docker-credential-ci"

// Named carries out args (as os.Args) and returns the exit code when the program
// was called as ci, or as Docker's credential helper; ran is false when it was not. cid and
// ci-agent are ci too, by a link in the containers of jobs that call the API: one binary there serves all.
func Named(args []string, version string) (code int, ran bool) {
	if len(args) == 0 {
		return 0, false
	}
	switch filepath.Base(args[0]) {
	case "ci":
		args = args[1:]
	case CredentialHelper:
		args = append([]string{"credential", "docker"}, args[1:]...)
	default:
		return 0, false
	}
	return Main(context.Background(), args, System(version)), true
}
