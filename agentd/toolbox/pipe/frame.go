package pipe

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// WriteFrame writes v as one JSON message of at most limit bytes.
func WriteFrame(w io.Writer, v any, limit int) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	if len(body) > limit {
		return fmt.Errorf("a message of %d bytes is over the limit of %d", len(body), limit)
	}
	return writePiece(w, body)
}

// ReadFrame reads one JSON message of at most limit bytes into v. It returns
// io.EOF when the stream ended before the message began.
func ReadFrame(r io.Reader, v any, limit int) error {
	n, err := pieceLen(r)
	if err != nil {
		return err
	}
	if n > uint32(limit) {
		return fmt.Errorf("a message of %d bytes is over the limit of %d", n, limit)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return fmt.Errorf("read a message: %w", noEOF(err))
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("decode a message: %w", err)
	}
	return nil
}

func writePiece(w io.Writer, b []byte) error {
	buf := make([]byte, 4+len(b))
	binary.BigEndian.PutUint32(buf, uint32(len(b)))
	copy(buf[4:], b)
	_, err := w.Write(buf)
	return err
}

func pieceLen(r io.Reader) (uint32, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(head[:]), nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// PieceWriter writes a body of unknown length in pieces, so that its reader
// can tell the end from a cut. Close writes the end, and leaves w open.
type PieceWriter struct{ W io.Writer }

// Write writes b as one piece.
func (p PieceWriter) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil // a piece of no bytes is the end
	}
	if err := writePiece(p.W, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close marks the end.
func (p PieceWriter) Close() error { return writePiece(p.W, nil) }

// PieceReader reads what a PieceWriter wrote: io.EOF only at the marked end,
// io.ErrUnexpectedEOF when the stream ends without it.
type PieceReader struct {
	R    io.Reader
	left uint32
	done bool
}

// Read reads the rest of a piece, or the next one.
func (p *PieceReader) Read(b []byte) (int, error) {
	if p.done {
		return 0, io.EOF
	}
	if p.left == 0 {
		n, err := pieceLen(p.R)
		if err != nil {
			return 0, noEOF(err)
		}
		if n == 0 {
			p.done = true
			return 0, io.EOF
		}
		p.left = n
	}
	if uint32(len(b)) > p.left {
		b = b[:p.left]
	}
	n, err := p.R.Read(b)
	p.left -= uint32(n)
	return n, noEOF(err)
}
