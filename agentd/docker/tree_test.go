package docker

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
)

// withTree is a run whose files come from tree instead of a repository.
func withTree(tree func(context.Context, io.Writer) error) func(*runner.Order) {
	return func(o *runner.Order) { o.Checkout = &runner.Checkout{Tree: tree} }
}

func entries(headers ...*tar.Header) func(context.Context, io.Writer) error {
	return func(_ context.Context, w io.Writer) error {
		archive := tar.NewWriter(w)
		for _, h := range headers {
			if err := archive.WriteHeader(h); err != nil {
				return err
			}
			if _, err := io.CopyN(archive, zeros{}, h.Size); err != nil {
				return err
			}
		}
		return archive.Close()
	}
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestTree(t *testing.T) {
	t.Parallel()
	tree := entries(
		&tar.Header{Name: "big", Typeflag: tar.TypeReg, Mode: 0o644, Size: 40 << 20},
		&tar.Header{Name: "tools/run", Typeflag: tar.TypeReg, Mode: 0o755},
		&tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "tools/run"},
	)
	_, output, _ := play(t, order(`pwd; wc -c < big; test -x tools/run && readlink link; touch new; stat -c %U big`, inImage(busyBase), asUser("dev"), withTree(tree)))
	require.Equal(t, []string{"/workspace", "41943040", "tools/run", "dev"}, strings.Fields(output))
}

func TestTreeFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is on fire")
	for name, tree := range map[string]func(context.Context, io.Writer) error{
		"the disk is on fire": func(context.Context, io.Writer) error { return broken },
		"path escapes":        entries(&tar.Header{Name: "../out", Typeflag: tar.TypeReg, Size: 1 << 20}),
		"neither a file":      entries(&tar.Header{Name: "null", Typeflag: tar.TypeChar}),
	} {
		o := order("true", inImage(busyBase), withTree(tree))
		_, err := common.Prepare(t.Context(), o, io.Discard)
		require.ErrorContains(t, err, name)
		requireNothingLeft(t, o.Run)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o := order("true", inImage(busyBase), withTree(func(context.Context, io.Writer) error { cancel(); return nil }))
	_, err := common.Prepare(ctx, o, io.Discard)
	require.ErrorIs(t, err, context.Canceled)
	requireNothingLeft(t, o.Run)
}

func requireNothingLeft(t *testing.T, id int64) {
	t.Helper()
	for _, o := range objects(t, common) {
		run, ok := o.run()
		require.False(t, ok && run == id, "left behind: %s", o.name)
	}
}
