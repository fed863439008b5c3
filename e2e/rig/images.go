package rig

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Contents is what an image is put together from: programs and folders of this
// machine, since no registry is asked in tests.
type Contents struct {
	// Programs are dynamic programs; the libraries that they need come along.
	Programs []string
	// Trees are folders that come as they are; Skip leaves paths out.
	Trees []string
	Skip  func(name string) bool
	// Texts are files by their path; scripts ("#!") and programs can be executed.
	Texts map[string]string
	// Config are lines of a Dockerfile.
	Config []string
}

// BusyBox is the shell and all small programs of every image made here.
const BusyBox = "/bin/busybox"

// Image puts an image together under a random name and returns the name.
func (d *Docker) Image(ctx context.Context, name string, c Contents) (ref string, err error) {
	tag := Random()
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := c.write(w)
		written <- err
		w.CloseWithError(err)
	}()
	err = d.Import(ctx, name, tag, r, c.Config...)
	r.CloseWithError(io.ErrClosedPipe)
	if werr := <-written; werr != nil && err == nil {
		return "", fmt.Errorf("put image %s together: %w", name, werr)
	}
	return name + ":" + tag, err
}

// PostgresImage is a server as its official image behaves: it starts as root,
// gives its data to an account of its own, takes POSTGRES_PASSWORD, and serves.
func PostgresImage() (Contents, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return Contents{}, fmt.Errorf("there is no Postgres on this machine; install postgresql")
	}
	bin := filepath.Dir(found[len(found)-1])
	version := filepath.Base(filepath.Dir(bin))
	programs := []string{bin + "/postgres", bin + "/initdb", bin + "/pg_isready", bin + "/psql"}
	return Contents{
		Programs: append(programs, libraries(filepath.Dir(bin)+"/lib", "plpgsql.so", "dict_snowball.so", "utf8_and_*.so")...),
		Trees:    []string{"/usr/share/postgresql/" + version, "/usr/share/zoneinfo/Etc"},
		Texts: map[string]string{
			"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n",
			"/etc/group":  "root:x:0:\npostgres:x:999:\n",
			"/entrypoint.sh": `#!/bin/sh
set -eu
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA" /var/run/postgresql
	chown -R postgres "$PGDATA" /var/run/postgresql
	chmod 700 "$PGDATA"
	exec su postgres -s /bin/sh -c 'exec /entrypoint.sh "$@"' -- sh "$@"
fi
if [ ! -e "$PGDATA/PG_VERSION" ]; then
	printf '%s' "${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD}" >/tmp/password
	initdb --username=postgres --pwfile=/tmp/password --auth=password --no-sync --locale=C --encoding=UTF8 >/dev/null
	rm /tmp/password
	echo 'host all all all password' >>"$PGDATA/pg_hba.conf"
fi
exec "$@" -c listen_addresses='*' -c fsync=off
`,
		},
		Config: []string{
			"ENV PATH=" + bin + ":/bin PGDATA=/var/lib/postgresql/data", "EXPOSE 5432", "VOLUME /var/lib/postgresql/data",
			`ENTRYPOINT ["/entrypoint.sh"]`, `CMD ["postgres"]`,
		},
	}, nil
}

// RedisImage is a server without a health check.
func RedisImage() (Contents, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return Contents{}, fmt.Errorf("there is no Redis on this machine; install redis-server: %w", err)
	}
	return Contents{
		Programs: []string{path},
		Texts:    map[string]string{"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nredis:x:999:999::/data:/bin/sh\n"},
		Config:   []string{"ENV PATH=/usr/bin:/bin", "EXPOSE 6379", "USER 999", `CMD ["redis-server", "--save", "", "--protected-mode", "no"]`},
	}, nil
}

// GoImage has the Go that these tests run with.
func GoImage() (Contents, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	root := strings.TrimSpace(string(out))
	return Contents{
		Trees: []string{root},
		Skip: func(name string) bool {
			rel, _ := filepath.Rel(root, name)
			return slices.Contains([]string{"test", "doc", "api", "misc", ".git"}, rel) || strings.HasSuffix(rel, "/testdata") || strings.HasSuffix(rel, "_test.go")
		},
		Texts:  map[string]string{"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"},
		Config: []string{"ENV PATH=" + root + "/bin:/bin GOTOOLCHAIN=local GOFLAGS=-buildvcs=false CGO_ENABLED=0 HOME=/root"},
	}, err
}

func libraries(dir string, patterns ...string) []string {
	var all []string
	for _, p := range patterns {
		found, _ := filepath.Glob(filepath.Join(dir, p))
		all = append(all, found...)
	}
	return all
}

func (c Contents) write(w io.Writer) error {
	archive := &layer{w: tar.NewWriter(w), seen: map[string]bool{}}
	for _, dir := range []string{"/tmp", "/proc", "/sys", "/dev", "/root", "/data"} {
		archive.folder(dir)
	}
	archive.file(BusyBox)
	applets, err := exec.Command(BusyBox, "--list").Output()
	if err != nil {
		return fmt.Errorf("busybox does not list what it can do; install busybox-static: %w", err)
	}
	for name := range strings.FieldsSeq(string(applets)) {
		if name != "busybox" {
			archive.link("/bin/"+name, "busybox")
		}
	}
	for _, p := range c.Programs {
		archive.program(p)
	}
	for _, t := range c.Trees {
		archive.tree(t, c.Skip)
	}
	for name, text := range c.Texts {
		archive.text(name, text)
	}
	if archive.err == nil {
		archive.err = archive.w.Close()
	}
	return archive.err
}

// layer writes a file system, each path once; the first error stays.
type layer struct {
	w    *tar.Writer
	seen map[string]bool
	err  error
}

func (l *layer) put(h *tar.Header, body io.Reader) {
	if l.err != nil || l.seen[h.Name] {
		return
	}
	l.seen[h.Name] = true
	if dir := path.Dir(h.Name); dir != "/" {
		l.folder(dir)
	}
	h.Name = strings.TrimPrefix(h.Name, "/")
	if l.err = l.w.WriteHeader(h); l.err == nil && body != nil {
		_, l.err = io.Copy(l.w, body)
	}
}

func (l *layer) folder(name string) {
	mode := int64(0o755)
	if name == "/tmp" {
		mode = 0o1777
	}
	l.put(&tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode}, nil)
}

func (l *layer) link(name, target string) {
	l.put(&tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}, nil)
}

func (l *layer) text(name, text string) {
	mode := int64(0o644)
	if strings.HasPrefix(text, "#!") || strings.HasPrefix(text, "\x7fELF") {
		mode = 0o755
	}
	l.put(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(text))}, strings.NewReader(text))
}

// file adds what name leads to under that name.
func (l *layer) file(name string) {
	if l.err != nil || l.seen[name] {
		return
	}
	f, err := os.Open(name)
	if err != nil {
		l.err = err
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		l.err = err
		return
	}
	l.put(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: int64(info.Mode().Perm()), Size: info.Size()}, f)
}

// program adds a program or library, and the libraries that it needs.
func (l *layer) program(name string) {
	l.file(name)
	out, _ := exec.Command("ldd", name).Output() // fails for a static one, which needs nothing
	for word := range strings.FieldsSeq(string(out)) {
		if filepath.IsAbs(word) {
			l.file(word)
		}
	}
}

func (l *layer) tree(root string, skip func(string) bool) {
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || l.err != nil:
			return err
		case skip != nil && skip(name) && e.IsDir():
			return fs.SkipDir
		case skip != nil && skip(name):
		case e.Type() == fs.ModeSymlink:
			target, err := os.Readlink(name)
			l.link(name, target)
			return err
		case e.IsDir():
			l.folder(name)
		case e.Type().IsRegular():
			l.file(name)
		}
		return nil
	})
	if l.err == nil {
		l.err = err
	}
}
