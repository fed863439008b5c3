package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"ci/e2e/rig"
)

func repoCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 5)
	g := on(ts).git
	switch args[0] {
	case "init":
		ts.Check(g.Init(args[1]))
	case "commit":
		sha, err := g.Commit(args[1], args[2], ts.MkAbs(args[3]))
		ts.Check(err)
		if len(args) == 5 {
			ts.Setenv(args[4], sha)
		}
	case "off":
		ts.Check(g.Off())
	case "on":
		ts.Check(g.On(g.Host))
	case "hold":
		g.Hold()
	case "release":
		g.Release()
	default:
		ts.Fatalf("%s is not known here", args[0])
	}
}

func exitsCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 0)
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	path, err := exec.LookPath(args[1])
	if own := on(ts).bin.Path(args[1]); err != nil || args[1] == "ci" || args[1] == "cid" || args[1] == "ci-agent" {
		path = own
	}
	err = ts.Exec(path, args[2:]...)
	code := 0
	if e := new(exec.ExitError); errors.As(err, &e) {
		code = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit status %d, not %d\n[stdout]\n%s[stderr]\n%s", code, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

func zippedCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	z, err := zip.OpenReader(ts.MkAbs(args[0]))
	ts.Check(err)
	defer z.Close()
	for _, f := range z.File {
		fmt.Fprintf(ts.Stdout(), "%s %d\n", f.Name, f.UncompressedSize64)
	}
}

func memoryCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2)
	limit, err := strconv.Atoi(args[1])
	ts.Check(err)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", on(ts).cids[args[0]].Pid()))
	ts.Check(err)
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kib int
	_, err = fmt.Sscan(rest, &kib)
	ts.Check(err)
	ts.Logf("the peak is %d MiB", kib>>10)
	if kib>>10 >= limit {
		ts.Fatalf("the peak of resident memory is %d MiB", kib>>10)
	}
}

// serverCommand makes an image of a server, or of Go, from this machine's programs.
func serverCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2)
	contents, known := map[string]func() (rig.Contents, error){
		"postgres": rig.PostgresImage, "redis": rig.RedisImage, "go": rig.GoImage,
	}[args[1]]
	if !known {
		ts.Fatalf("%s is not known here", args[1])
	}
	c, err := contents()
	ts.Check(err)
	d, err := dockerOf(ts)
	ts.Check(err)
	ref, err := d.Image(context.Background(), "ci-e2e-"+args[1], c)
	ts.Check(err)
	s := on(ts)
	s.closers = append(s.closers, func() error { return d.RemoveImage(context.Background(), ref) })
	ts.Setenv(args[0], ref)
}

// fillCommand puts the script's variables in the places of <NAME>, in all files of a folder.
func fillCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(name, expand(ts, text), 0o644)
	}))
}

func imageCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 0)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, name := range args[1:] {
		text := ts.ReadFile(name)
		ts.Check(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}))
		_, err := w.Write([]byte(text))
		ts.Check(err)
	}
	ts.Check(w.Close())
	d, err := dockerOf(ts)
	ts.Check(err)
	tag := rig.Random()
	ts.Check(d.Import(context.Background(), "ci-e2e", tag, &archive))
	s := on(ts)
	s.closers = append(s.closers, func() error { return d.RemoveImage(context.Background(), "ci-e2e:"+tag) })
	ts.Setenv(args[0], "ci-e2e:"+tag)
}

func busyboxCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1)
	d, err := dockerOf(ts)
	ts.Check(err)
	ref, err := d.Busybox(context.Background())
	ts.Check(err)
	s := on(ts)
	s.closers = append(s.closers, func() error { return d.RemoveImage(context.Background(), ref) })
	ts.Setenv(args[0], ref)
}
