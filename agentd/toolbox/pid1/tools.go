package pid1

import "strings"

// withFolder puts a folder behind all others of the environment's PATH, which
// environ has made sure to be there once.
func withFolder(env []string, folder string) []string {
	if folder == "" {
		return env
	}
	for i, e := range env {
		if path, ok := strings.CutPrefix(e, "PATH="); ok {
			env[i] = "PATH=" + strings.TrimSuffix(path, ":") + ":" + folder
			if path == "" {
				env[i] = "PATH=" + folder
			}
		}
	}
	return env
}
