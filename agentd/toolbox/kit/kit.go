// Package kit puts the toolbox image together: the agent's own binary, and
// git, ssh, certificates and the usual commands of the machine that it runs
// on, each with the shared libraries that it needs. The image is what
// checkouts and jobs without an image of their own run in.
package kit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// format changes with anything that changes the image besides its inputs.
const format = "1"

// commands are put in where the machine has them.
var commands = []string{
	"sh", "dash", "bash", "env", "true", "false", "test", "[", "expr", "printf", "echo", "yes", "sleep", "timeout", "nohup", "nice", "kill", "ps", "nproc", "uname", "hostname", "arch",
	"cat", "head", "tail", "tac", "tee", "wc", "nl", "od", "cut", "paste", "join", "comm", "sort", "uniq", "tr", "fold", "fmt", "expand", "split", "csplit", "shuf", "seq", "factor", "numfmt", "base64", "base32",
	"md5sum", "sha1sum", "sha256sum", "sha512sum", "cksum", "sum", "b2sum",
	"ls", "dir", "cp", "mv", "rm", "ln", "mkdir", "rmdir", "mkfifo", "mktemp", "touch", "install", "stat", "du", "df", "dd", "sync", "truncate", "chmod", "chown", "chgrp", "readlink", "realpath", "basename", "dirname", "pathchk", "pwd",
	"id", "whoami", "groups", "date", "stty", "tty", "logname", "printenv", "link", "unlink", "stdbuf",
	"grep", "egrep", "fgrep", "sed", "awk", "find", "xargs", "diff", "cmp", "diff3", "patch", "which",
	"tar", "gzip", "gunzip", "zcat", "xz", "bzip2", "zstd", "unzip", "zip",
	"git", "ssh", "ssh-add", "ssh-agent", "ssh-keyscan", "curl", "wget", "jq", "make",
}

// Kit is the plan of one image.
type Kit struct {
	tree *tree
	hash string
	// NoGit says that the machine has no git, so that checkouts can't work.
	NoGit bool
}

// Plan looks at the machine and decides what goes in. executable is the
// static binary that is the toolbox; it comes to stand at pipe.Binary.
func Plan(executable string) (*Kit, error) {
	if err := checkStatic(executable); err != nil {
		return nil, err
	}
	t := newTree()
	if err := t.file(pipe.Binary, executable, 0o755); err != nil {
		return nil, err
	}
	for _, name := range []string{"ci", "docker-credential-ci"} {
		t.put(entry{name: pipe.Tools + "/" + name, link: "../ci-agent"})
	}
	k := &Kit{tree: t, NoGit: true}
	l := newLinker(t)
	for _, name := range commands {
		for _, at := range places(name) {
			if err := l.program(at); err != nil {
				return nil, fmt.Errorf("the toolbox image can't take %s: %w", at, err)
			}
			k.NoGit = k.NoGit && name != "git"
		}
	}
	if !k.NoGit {
		if err := gitHelpers(l); err != nil {
			return nil, err
		}
	}
	if err := basics(l); err != nil {
		return nil, err
	}
	k.hash = k.sum()
	return k, nil
}

// places returns every path under which scripts may expect the command: some
// say /bin/sh, some /usr/bin/sh. A machine may well have none; git is asked
// for when it is needed.
func places(name string) []string {
	var found []string
	for _, dir := range []string{"/usr/bin", "/bin", "/usr/sbin", "/sbin"} {
		at := filepath.Join(dir, name)
		if info, err := os.Stat(at); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			found = append(found, at)
		}
	}
	if len(found) > 0 {
		return found
	}
	at, err := exec.LookPath(name)
	if err != nil || !filepath.IsAbs(at) {
		return nil
	}
	return []string{at}
}

// Hash names the content: equal machines and binaries have equal hashes.
func (k *Kit) Hash() string { return k.hash }

// sum covers path, size and time of every input, and not the bytes: it is
// asked for at each start of an agent. Of our own binary it takes the build
// id, which stays when the same is built or installed again.
func (k *Kit) sum() string {
	h := sha256.New()
	fmt.Fprintln(h, format)
	for _, e := range k.tree.sorted() {
		if id := buildID(e.source); e.name == pipe.Binary && id != "" {
			fmt.Fprintf(h, "%q %q\n", e.name, id)
			continue
		}
		fmt.Fprintf(h, "%q %q %q %o %q\n", e.name, e.link, e.source, e.mode, e.text)
		if info, err := os.Stat(e.source); e.source != "" && err == nil {
			fmt.Fprintf(h, "%d %d\n", info.Size(), info.ModTime().UnixNano())
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// WriteTo writes the image's root file system as a tar archive.
func (k *Kit) WriteTo(w io.Writer) (int64, error) { return k.tree.write(w) }

// Changes are the image's settings, as lines of a Dockerfile.
func Changes(hash string) []string {
	return []string{
		"ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"WORKDIR /",
		fmt.Sprintf("LABEL %s=%s", Label, hash),
	}
}

// Label marks every image that was made here; its value is the hash.
const Label = "ci.toolbox"

func errStatic(path, why string) error {
	return ci.Errorf(ci.CodeInternal, "%s can't run inside containers: %s; build it with CGO_ENABLED=0", path, why)
}
