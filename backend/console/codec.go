package console

import (
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"

	"ci/pkg/ci"
)

// maxPacked is the most bytes that a piece may have when it is compressed:
// zstd adds a few bytes to what it can't shrink.
const maxPacked = maxPiece + maxPiece/128 + 512

// codec compresses and expands pieces. Its encoders and decoders are few: who
// finds none free waits for one, so many runs at once cost no more memory.
type codec struct {
	enc     *zstd.Encoder
	dec     *zstd.Decoder
	buffers sync.Pool // *[]byte, of up to maxPacked
}

func newCodec() *codec {
	n := min(4, runtime.GOMAXPROCS(0))
	// An error would name an option that zstd does not know, and these are constants.
	enc, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(n), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(maxPiece))
	dec, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(n), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxPiece), zstd.WithDecodeAllCapLimit(true))
	c := &codec{enc: enc, dec: dec}
	c.buffers.New = func() any { return new([]byte) }
	return c
}

// pack compresses plain into buf's memory.
func (c *codec) pack(plain []byte, buf *[]byte) []byte {
	*buf = c.enc.EncodeAll(plain, (*buf)[:0])
	return *buf
}

// unpack expands packed into buf's memory. It fails, without ever holding more
// than chunk.Length bytes, when the piece does not have exactly that many.
func (c *codec) unpack(chunk ci.Chunk, packed []byte, buf *[]byte) ([]byte, error) {
	if int64(cap(*buf)) < chunk.Length {
		*buf = make([]byte, 0, chunk.Length)
	}
	plain, err := c.dec.DecodeAll(packed, (*buf)[:0:chunk.Length])
	if err != nil {
		return nil, damaged(chunk, err)
	}
	if int64(len(plain)) != chunk.Length {
		return nil, damaged(chunk, io.ErrUnexpectedEOF)
	}
	return plain, nil
}

// check refuses what no Append has written.
func check(chunk ci.Chunk) error {
	if chunk.Length <= 0 || chunk.Length > maxPiece || len(chunk.Data) > maxPacked {
		return damaged(chunk, zstd.ErrDecoderSizeExceeded)
	}
	return nil
}

func damaged(chunk ci.Chunk, err error) error {
	return ci.Errorf(ci.CodeInternal, "the stored console of run %d is damaged in the %d bytes from byte %d: %w", chunk.Run, chunk.Length, chunk.Offset, err)
}
