package pid1

import (
	"fmt"
	"os"
	"path"
	"strings"

	"ci/agentd/toolbox/pipe"
)

// defaultPath is searched when an image sets no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// command chooses what runs the script: the interpreter of its first line,
// else the shell that the job names, else the image's sh, else the toolbox's.
func command(o *pipe.Order, env []string) ([]string, error) {
	if interpreter, ok := shebang(o.Script); ok {
		if !executable(interpreter) {
			return nil, fmt.Errorf("the script's first line asks for %s, which the image does not have; name one that it has, or leave the line out", interpreter)
		}
		return []string{scriptFile}, nil
	}
	search := value(env, "PATH")
	if o.Shell != "" {
		shell, ok := find(o.Shell, search)
		if !ok {
			return nil, fmt.Errorf("environment.shell is %s, which the image does not have", o.Shell)
		}
		return []string{shell, "-e", scriptFile}, nil
	}
	if shell, ok := find("sh", search); ok {
		return []string{shell, "-e", scriptFile}, nil
	}
	return []string{pipe.Binary, "sh", "-e", scriptFile}, nil
}

// shebang returns the program that a script's first line names.
func shebang(script string) (string, bool) {
	line, _, _ := strings.Cut(script, "\n")
	rest, ok := strings.CutPrefix(line, "#!")
	words := strings.Fields(rest)
	if !ok || len(words) == 0 {
		return "", false
	}
	return words[0], true
}

// find looks for a program along search, or where its own slashes say.
func find(program, search string) (string, bool) {
	if strings.Contains(program, "/") {
		return program, executable(program)
	}
	if search == "" {
		search = defaultPath
	}
	for _, folder := range strings.Split(search, ":") {
		if at := path.Join(folder, program); path.IsAbs(at) && executable(at) {
			return at, true
		}
	}
	return "", false
}

func executable(at string) bool {
	info, err := os.Stat(at)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// value returns what env says about name. The last word counts.
func value(env []string, name string) string {
	v := ""
	for _, e := range env {
		if k, rest, ok := strings.Cut(e, "="); ok && k == name {
			v = rest
		}
	}
	return v
}
