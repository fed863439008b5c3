package pid1

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// maxAccounts is how much of the image's passwd and group files is read.
const maxAccounts = 4 << 20

// user is who the script runs as.
type user struct {
	name   string
	home   string
	uid    uint32
	gid    uint32
	groups []uint32
}

// lookup finds the user that spec ("name", "uid", either with ":group") means
// in the passwd and group files below root. As docker run does, it takes a
// number that nobody has, and gives the user's further groups only when no
// group is named. "" is root.
func lookup(root, spec string) (user, error) {
	name, group, grouped := strings.Cut(spec, ":")
	if name == "" {
		name = "0"
	}
	u := user{name: name, home: "/"}
	id, err := strconv.ParseUint(name, 10, 31)
	numeric := err == nil
	entry := accounts(root, "passwd", func(f []string) bool {
		return len(f) >= 6 && (f[0] == name || numeric && f[2] == strconv.FormatUint(id, 10))
	})
	switch {
	case entry != nil:
		uid, err1 := strconv.ParseUint(entry[0][2], 10, 31)
		gid, err2 := strconv.ParseUint(entry[0][3], 10, 31)
		if err1 != nil || err2 != nil {
			return u, fmt.Errorf("user %q has no valid numbers in the image's /etc/passwd", name)
		}
		u.name, u.uid, u.gid = entry[0][0], uint32(uid), uint32(gid)
		if entry[0][5] != "" {
			u.home = entry[0][5]
		}
	case numeric:
		u.uid = uint32(id)
	default:
		return u, fmt.Errorf("user %q is not in the image's /etc/passwd; name one that is there, or a number", name)
	}
	if u.uid == 0 && entry == nil {
		u.name, u.home = "root", "/root"
	}
	if grouped {
		if u, err = u.inGroup(root, group); err != nil {
			return u, err
		}
	} else {
		u.groups = furtherGroups(root, u.name)
	}
	// Without its own group in the list too, a process that changes its group
	// could get out of one that denies it something.
	if !slices.Contains(u.groups, u.gid) {
		u.groups = append([]uint32{u.gid}, u.groups...)
	}
	return u, nil
}

func (u user) inGroup(root, group string) (user, error) {
	if id, err := strconv.ParseUint(group, 10, 31); err == nil {
		u.gid = uint32(id)
		return u, nil
	}
	entry := accounts(root, "group", func(f []string) bool { return len(f) >= 3 && f[0] == group })
	if entry != nil {
		if id, err := strconv.ParseUint(entry[0][2], 10, 31); err == nil {
			u.gid = uint32(id)
			return u, nil
		}
	}
	return u, fmt.Errorf("group %q is not in the image's /etc/group; name one that is there, or a number", group)
}

func furtherGroups(root, name string) []uint32 {
	var ids []uint32
	for _, f := range accounts(root, "group", func(f []string) bool {
		return len(f) >= 4 && slices.Contains(strings.Split(f[3], ","), name)
	}) {
		if id, err := strconv.ParseUint(f[2], 10, 31); err == nil && len(ids) < 1024 {
			ids = append(ids, uint32(id))
		}
	}
	return ids
}

// accounts returns the lines of an account file that match, split at colons.
// A file that is missing has none.
func accounts(root, file string, match func([]string) bool) [][]string {
	f, err := os.Open(filepath.Join(root, "etc", file))
	if err != nil {
		return nil
	}
	defer f.Close()
	var found [][]string
	lines := bufio.NewScanner(io.LimitReader(f, maxAccounts))
	lines.Buffer(nil, maxAccounts)
	for lines.Scan() {
		if fields := strings.Split(strings.TrimSpace(lines.Text()), ":"); match(fields) {
			found = append(found, fields)
		}
	}
	return found
}

func (u user) credential() *syscall.Credential {
	return &syscall.Credential{Uid: u.uid, Gid: u.gid, Groups: u.groups}
}

// environ is env with the last word for each name, in the order of first
// appearance, and what every login has where env does not say it.
func (u user) environ(env []string) []string {
	defaults := []string{"PATH=" + defaultPath, "HOME=" + u.home, "USER=" + u.name, "LOGNAME=" + u.name}
	at := map[string]int{}
	out := make([]string, 0, len(env)+len(defaults))
	for i, e := range slices.Concat(env, defaults) {
		name, _, ok := strings.Cut(e, "=")
		known, seen := at[name]
		switch {
		case !ok || name == "":
		case !seen:
			at[name] = len(out)
			out = append(out, e)
		case i < len(env):
			out[known] = e
		}
	}
	return out
}
