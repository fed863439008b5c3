package rig

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Busybox makes an image of this machine's static busybox, with a name for each
// of its programs, and returns its reference. Whoever makes it removes it.
func (d *Docker) Busybox(ctx context.Context, changes ...string) (string, error) {
	binary, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return "", fmt.Errorf("%w; install busybox-static", err)
	}
	programs, err := exec.CommandContext(ctx, "/bin/busybox", "--list").Output()
	if err != nil {
		return "", err
	}
	archive, err := busybox(binary, strings.Fields(string(programs)))
	if err != nil {
		return "", err
	}
	tag := Random()
	return "ci-e2e:" + tag, d.Import(ctx, "ci-e2e", tag, archive, append([]string{"ENV PATH=/bin"}, changes...)...)
}

func busybox(binary []byte, programs []string) (*bytes.Buffer, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Typeflag: tar.TypeReg, Size: int64(len(binary))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(binary); err != nil {
		return nil, err
	}
	for _, name := range programs {
		if name == "busybox" {
			continue
		}
		if err := w.WriteHeader(&tar.Header{Name: "bin/" + name, Linkname: "busybox", Typeflag: tar.TypeSymlink, Mode: 0o777}); err != nil {
			return nil, err
		}
	}
	return &archive, w.Close()
}
