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

// makeWorkdir makes dir for the user. One that the image has is left as it
// is; one that holds a checkout becomes the user's with everything in it.
func makeWorkdir(dir string, own bool, who user) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return errors.New("it is a file in the image")
	case err == nil && !own:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if who.uid == 0 && who.gid == 0 {
		return nil // whatever is there, the checkout's container made it as root
	}
	if !own {
		return os.Chown(dir, int(who.uid), int(who.gid))
	}
	// Nobody else is in the container yet, so nothing moves under the walk;
	// links are changed themselves, and not followed.
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(who.uid), int(who.gid))
	})
}

func makeTmp() error {
	if err := os.Mkdir("/tmp", 0o777); err != nil {
		return err
	}
	return os.Chmod("/tmp", 0o777|fs.ModeSticky)
}

// restore puts back the files that this container shares with the ones that
// used its network before. A script that was root there can have changed them.
func restore(files []pipe.File) error {
	for _, f := range files {
		if err := restoreFile(f); err != nil {
			return fmt.Errorf("%s, which the last run on this network could change, can't be put back: %w", f.Path, err)
		}
	}
	return nil
}

func restoreFile(f pipe.File) error {
	file, err := os.OpenFile(f.Path, os.O_WRONLY|os.O_TRUNC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Chown(0, 0); err != nil {
		return err
	}
	// An access list would outlive the mode. Most file systems here have none to remove.
	err = unix.Fremovexattr(int(file.Fd()), "system.posix_acl_access")
	if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	if err := removeAttributes(int(file.Fd())); err != nil {
		return err
	}
	if err := file.Chmod(0o644); err != nil {
		return err
	}
	_, err = file.Write(f.Content)
	return err
}

// removeAttributes takes away what a script can have attached to a file: it is
// text that nobody sees, and the next script could read it.
func removeAttributes(fd int) error {
	names := make([]byte, 64<<10) // the kernel's own limit for the list
	n, err := unix.Flistxattr(fd, names)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(string(names[:n]), "\x00") {
		if strings.HasPrefix(name, "user.") {
			if err := unix.Fremovexattr(fd, name); err != nil && !errors.Is(err, unix.ENODATA) {
				return err
			}
		}
	}
	return nil
}
