package docker

import (
	"context"
	"errors"
	"io"
	"path"
	"strings"

	"ci/agentd/runner"
	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// Collect packs the results one after the other and hands each to put, whose
// reader fails when the result is over what is left of the limit or was cut
// off; such a one must not be kept.
//
// A Missing whose result was put all the same is a note: some of the matching
// files could not be taken.
func (b *box) Collect(ctx context.Context, specs []ci.ResultSpec, put func(ci.Result, io.Reader) error) ([]runner.Missing, error) {
	defer context.AfterFunc(ctx, func() { b.session.Close() })()
	var all []runner.Missing
	left := b.order.MaxResult
	for _, spec := range specs {
		m, n, err := b.collectOne(spec, left, put)
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		if err != nil {
			return all, err
		}
		if m != nil {
			m.Name = spec.Name
			all = append(all, *m)
		}
		left -= n
	}
	return all, nil
}

func (b *box) collectOne(spec ci.ResultSpec, left int64, put func(ci.Result, io.Reader) error) (*runner.Missing, int64, error) {
	stream, err := b.openStream(pipe.Collect)
	if err != nil {
		return nil, 0, b.lost("the container was lost before its results were saved", err)
	}
	defer stream.Close()
	want := pipe.Collection{Path: spec.Path, MaxBytes: left, MaxFiles: b.order.MaxResultFiles, Zip: spec.Type == "application/zip"}
	var found pipe.Packing
	if err = pipe.WriteFrame(stream, want, pipe.MaxDown); err == nil {
		err = pipe.ReadFrame(stream, &found, pipe.MaxUp)
	}
	if err != nil {
		return nil, 0, b.lost("the container was lost while its results were saved", err)
	}
	if found.Missing != "" {
		return &runner.Missing{Reason: sentence(found.Missing), TooLarge: found.TooLarge}, 0, nil
	}
	body := &bounded{pieces: &pipe.PieceReader{R: stream}, stream: stream, left: left}
	err = put(describe(b.order.Run, spec, found), body)
	_, _ = io.Copy(io.Discard, body) // should put have stopped early
	switch {
	case body.tooLarge || body.failed != "":
		return &runner.Missing{Reason: body.failed, TooLarge: body.tooLarge}, 0, nil
	case body.err != nil:
		return nil, 0, b.lost("the container was lost while its results were saved", body.err)
	case err != nil:
		return nil, 0, err
	case found.Note != "":
		return &runner.Missing{Reason: sentence(found.Note)}, left - body.left, nil
	}
	return nil, left - body.left, nil
}

// bounded reads one result: it ends well only when init said that all was
// well, and never brings more than the limit, whatever init says.
type bounded struct {
	pieces   *pipe.PieceReader
	stream   io.Reader
	left     int64
	ended    bool
	tooLarge bool
	failed   string // init's sentence
	err      error  // the pipe's
}

// Read returns io.EOF after a whole result, and another error otherwise.
func (r *bounded) Read(p []byte) (int, error) {
	if r.ended {
		return 0, r.verdict()
	}
	n, err := r.pieces.Read(p)
	r.left -= int64(n)
	switch {
	case r.left < 0:
		r.ended, r.tooLarge, r.failed = true, true, "holds more than what is left to this run"
		return 0, r.verdict()
	case err == io.EOF:
		r.ended = true
		var end pipe.Packed
		r.err = pipe.ReadFrame(r.stream, &end, pipe.MaxUp)
		r.failed, r.tooLarge = sentence(end.Failed), end.TooLarge
	case err != nil:
		r.ended, r.err = true, err
	}
	if r.ended {
		return n, r.verdict()
	}
	return n, nil
}

func (r *bounded) verdict() error {
	switch {
	case r.err != nil:
		return r.err
	case r.tooLarge:
		return ci.Errorf(ci.CodeTooLarge, "the result %s", r.failed)
	case r.failed != "":
		return errors.New(r.failed)
	}
	return io.EOF
}

// describe says what a result is. The file's name comes from the container
// and is only used when it could be one.
func describe(run int64, spec ci.ResultSpec, found pipe.Packing) ci.Result {
	r := ci.Result{Run: run, Name: spec.Name, ContentType: spec.Type, Files: max(found.Files, 1)}
	if found.File == "" {
		r.Filename = spec.Name + ".zip"
		if r.ContentType == "" {
			r.ContentType = "application/zip"
		}
		return r
	}
	r.Filename, r.Files = found.File, 1
	if clean := sentence(found.File); clean != found.File || len(clean) > 255 || strings.ContainsAny(clean, `/\`) || clean == "." || clean == ".." {
		r.Filename = spec.Name
	}
	if r.ContentType == "" {
		r.ContentType = contentType(r.Filename)
	}
	return r
}

// contentType tells a media type by a file's extension. The list is our own,
// so that it does not vary with the agent's machine.
func contentType(name string) string {
	known := map[string]string{
		".txt": "text/plain; charset=utf-8", ".log": "text/plain; charset=utf-8", ".md": "text/markdown; charset=utf-8",
		".csv": "text/csv; charset=utf-8", ".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8",
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		".json": "application/json", ".xml": "application/xml", ".yaml": "application/yaml", ".yml": "application/yaml",
		".pdf": "application/pdf", ".zip": "application/zip", ".jar": "application/java-archive", ".wasm": "application/wasm",
		".gz": "application/gzip", ".tgz": "application/gzip", ".tar": "application/x-tar", ".xz": "application/x-xz", ".zst": "application/zstd",
		".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".svg": "image/svg+xml", ".webp": "image/webp",
	}
	if t, ok := known[strings.ToLower(path.Ext(name))]; ok {
		return t
	}
	return "application/octet-stream"
}
