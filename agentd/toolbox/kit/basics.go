package kit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// servers are parts of git that no script needs and that are large.
var servers = []string{
	"git-daemon", "git-http-backend", "git-http-push", "git-imap-send", "git-instaweb",
	"git-shell", "git-cvsserver", "git-add--interactive", "git-send-email", "git-svn", "scalar",
}

// gitHelpers adds the programs that git calls by itself.
func gitHelpers(l *linker) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "git", "--exec-path").Output()
	if err != nil {
		return err
	}
	folder := strings.TrimSpace(string(out))
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	l.tree.folder("/usr/share/git-core/templates", 0o755) // git warns without it
	for _, e := range entries {
		if e.IsDir() || slices.Contains(servers, e.Name()) {
			continue
		}
		if err := l.optional(filepath.Join(folder, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// nss are libraries that no program names, since the C library loads them
// when it resolves a name or ends a thread.
var nss = []string{"libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1"}

// certificates is where machines keep the authorities that they trust.
var certificates = []string{
	"/etc/ssl/certs/ca-certificates.crt", // Debian, Alpine
	"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora
	"/etc/ssl/cert.pem",
	"/etc/ssl/openssl.cnf",
}

// basics adds what programs expect of any system.
func basics(l *linker) error {
	for _, path := range certificates {
		if err := l.optional(path); err != nil {
			return err
		}
	}
	for _, dir := range l.dirs {
		for _, name := range nss {
			at := filepath.Join(dir, name)
			if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := l.program(at); err != nil {
				return err
			}
		}
	}
	l.tree.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
	l.tree.text("/etc/group", "root:x:0:\nnogroup:x:65534:\n")
	l.tree.text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
	return nil
}
