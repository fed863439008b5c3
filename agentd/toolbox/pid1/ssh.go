package pid1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pipe"
)

const (
	// globalKnownHosts is where OpenSSH, and what follows it, looks whoever the
	// user is (ssh_config(5), GlobalKnownHostsFile).
	globalKnownHosts = "/etc/ssh/ssh_known_hosts"
	// links is a folder with the programs of the toolbox that an image lacks.
	links = "/run/ci/bin"
)

// introduce makes the hosts of the run's key known to whatever ssh the script
// uses, and gives it the toolbox's where the image has none. It returns the
// environment with which the script finds it.
func introduce(o *pipe.Order, env []string) ([]string, error) {
	if o.KnownHosts == "" {
		return env, nil
	}
	if err := appendTo(globalKnownHosts, o.KnownHosts); err != nil {
		return nil, fmt.Errorf("the hosts of the job's SSH key can't be made known in the image: %w", err)
	}
	search := value(env, "PATH")
	if _, ok := find("ssh", search); ok {
		return env, nil
	}
	if err := link("ssh"); err != nil {
		return nil, fmt.Errorf("the toolbox's ssh can't be put into the container: %w", err)
	}
	if search == "" {
		search = defaultPath
	}
	return append(env, "PATH="+search+":"+links), nil
}

// appendTo adds lines to a file of the image. A link is not followed: this
// process may write where the image's author may not.
func appendTo(path, lines string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New(path + " is no regular file")
	}
	if err == nil { // the image's last line may have no end
		_, err = f.WriteString("\n" + strings.TrimSuffix(lines, "\n") + "\n")
	}
	return errors.Join(err, f.Close())
}

// link puts one of the toolbox's verbs into a folder under its own name.
func link(verb string) error {
	if err := os.MkdirAll(links, 0o755); err != nil {
		return err
	}
	err := os.Symlink(pipe.Binary, filepath.Join(links, verb))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
