package pipe

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestFrames(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	want := Command{Order: &Order{Script: "echo", Env: []string{"A=\x01"}, Files: []File{{"/etc/hosts", []byte{0, 255}}}}}
	require.NoError(t, WriteFrame(&b, want, MaxDown))
	var got Command
	require.NoError(t, ReadFrame(iotest.OneByteReader(bytes.NewReader(b.Bytes())), &got, MaxDown))
	require.Equal(t, want, got)
	require.ErrorContains(t, WriteFrame(io.Discard, want, 10), "over the limit of 10")
	require.ErrorContains(t, ReadFrame(bytes.NewReader(b.Bytes()), &got, 10), "over the limit of 10")
	require.ErrorIs(t, ReadFrame(bytes.NewReader(b.Bytes()[:b.Len()-1]), &got, MaxDown), io.ErrUnexpectedEOF)
	require.ErrorIs(t, ReadFrame(strings.NewReader(""), &got, MaxDown), io.EOF)
}

func TestPieces(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := PieceWriter{&b}
	for _, s := range []string{"one", "", strings.Repeat("x", 100_000)} {
		n, err := w.Write([]byte(s))
		require.NoError(t, err)
		require.Equal(t, len(s), n)
	}
	require.NoError(t, w.Close())
	b.WriteString("after")
	whole := b.Bytes()

	r := bytes.NewReader(whole)
	got, err := io.ReadAll(&PieceReader{R: r})
	require.NoError(t, err)
	require.Equal(t, "one"+strings.Repeat("x", 100_000), string(got))
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "after", string(rest))

	for _, cut := range []int{0, 2, 5, 7, 1000, len(whole) - len("after") - 4} {
		_, err := io.ReadAll(&PieceReader{R: bytes.NewReader(whole[:cut])})
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut at %d", cut)
	}
}

// FuzzClient feeds an agent what a hostile init could send.
func FuzzClient(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x05hello"))
	f.Add([]byte{0, 1, 0, 2, 0, 0, 0, 1, 255, 255, 255, 255})
	f.Add([]byte{0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, sent []byte) {
		here, there := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		go func() { _, _ = there.Write(sent); there.Close() }()
		session, err := Client(here)
		require.NoError(t, err)
		defer session.Close()
		stream, err := session.OpenStream()
		if err != nil {
			return
		}
		var e Event
		_ = ReadFrame(stream, &e, MaxUp)
		n, _ := io.Copy(io.Discard, &PieceReader{R: stream})
		require.LessOrEqual(t, n, int64(len(sent)))
	})
}
