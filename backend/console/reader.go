package console

import (
	"bytes"
	"context"
	"io"

	"ci/pkg/ci"
)

// page is how many chunks of the index a reader holds at once.
const page = 16

// Reader reads the bytes from from to to, exclusive; to -1 means the end, as it
// is when the reader comes there. A range beyond the end is shorter, or empty.
// It holds one piece in memory, and a connection only while it fetches one, so
// a slow caller costs little. ctx ends it.
func (c *Console) Reader(ctx context.Context, run, from, to int64) (io.ReadCloser, error) {
	if from < 0 || to < -1 || to >= 0 && to < from {
		return nil, ci.Errorf(ci.CodeInvalid, "bytes %d to %d are no range of a console", from, to)
	}
	r := &reader{c: c, ctx: ctx, run: run, at: from, to: to}
	// A failing database is told now, while there still is a proper way to say so.
	if err := r.turn(); err != nil && err != io.EOF {
		return nil, err
	}
	return r, nil
}

type reader struct {
	c     *Console
	ctx   context.Context
	run   int64
	at    int64 // the next byte to return
	to    int64 // -1: the end
	index []ci.Chunk
	rest  []byte  // of the piece at hand
	buf   *[]byte // its memory
	err   error   // what every further Read returns
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil && len(p) > 0 {
		r.err = r.fetch()
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.at += int64(n)
	return n, nil
}

// Close gives the memory back. It is safe to call twice.
func (r *reader) Close() error {
	r.rest = nil
	r.err = io.ErrClosedPipe
	if r.buf != nil {
		r.c.codec.buffers.Put(r.buf)
		r.buf = nil
	}
	return nil
}

// fetch brings the piece that holds the byte at r.at.
func (r *reader) fetch() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.to >= 0 && r.at >= r.to {
		return io.EOF
	}
	if len(r.index) == 0 {
		if err := r.turn(); err != nil {
			return err
		}
	}
	chunk := r.index[0]
	r.index = r.index[1:]
	if err := check(chunk); err != nil {
		return err
	}
	skip := r.at - chunk.Offset
	if skip < 0 || skip >= chunk.Length {
		return ci.Errorf(ci.CodeInternal, "the stored console of run %d has a hole at byte %d: the next piece begins at %d", r.run, r.at, chunk.Offset)
	}
	if r.buf == nil {
		r.buf = r.c.codec.buffers.Get().(*[]byte)
	}
	plain, err := r.c.plain(r.ctx, chunk, r.buf)
	if err != nil {
		return err
	}
	r.rest = plain[skip:]
	if r.to >= 0 {
		r.rest = r.rest[:min(int64(len(r.rest)), r.to-r.at)]
	}
	return nil
}

// turn brings the next page of the index; io.EOF when there is none.
func (r *reader) turn() error {
	index, err := r.c.db.Chunks(r.ctx, r.run, r.at, page)
	if err != nil {
		return err
	}
	if len(index) == 0 {
		return io.EOF
	}
	r.index = index
	return nil
}

// plain expands a chunk into buf's memory.
func (c *Console) plain(ctx context.Context, chunk ci.Chunk, buf *[]byte) ([]byte, error) {
	if chunk.Key == "" {
		return c.codec.unpack(chunk, chunk.Data, buf)
	}
	body, err := c.blobs.Get(ctx, chunk.Key, 0, maxPacked)
	if err != nil {
		if ci.CodeOf(err) == ci.CodeNotFound {
			return nil, damaged(chunk, err)
		}
		return nil, err
	}
	defer func() { _ = body.Close() }()
	mem := c.codec.buffers.Get().(*[]byte)
	defer c.codec.buffers.Put(mem)
	packed := bytes.NewBuffer((*mem)[:0])
	_, err = packed.ReadFrom(io.LimitReader(body, maxPacked))
	*mem = packed.Bytes()[:0]
	if err != nil {
		return nil, err
	}
	return c.codec.unpack(chunk, packed.Bytes(), buf)
}
