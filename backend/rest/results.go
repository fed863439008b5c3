package rest

import (
	"cmp"
	"context"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"ci/backend/auth"
	"ci/pkg/ci"
)

// readable returns the run of a byte stream's path, if the caller may read it.
func (s *server) readable(r *http.Request, job, id string) (*ci.Run, error) {
	p, _ := auth.FromContext(r.Context())
	if err := auth.May(p, auth.RunRead, job); err != nil {
		return nil, err
	}
	run, err := parseID(id)
	if err != nil {
		return nil, err
	}
	found, err := s.Store.GetRun(r.Context(), job, int64(run))
	if err != nil {
		return nil, err
	}
	return found, auth.MayRun(p, auth.RunRead, found)
}

// serveResult sends one result's bytes. They are whatever a script wrote, so
// a browser is told to store and never to show them.
func (s *server) serveResult(w *recorder, r *http.Request, vars []string) error {
	run, err := s.readable(r, vars[0], vars[1])
	if err != nil {
		return err
	}
	if _, err := parseQuery(r.URL.RawQuery, nil); err != nil {
		return err
	}
	res, err := s.Store.GetResult(r.Context(), run.ID, vars[2])
	if err != nil {
		return err
	}
	if err := run.ResultsExpired(); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Disposition", attachment(res.Filename))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	return s.serveContent(w, r, content{
		size:        res.Size,
		contentType: safeType(res.ContentType),
		etag:        `"` + res.SHA256 + `"`,
		final:       run.Done(),
		open: func(from, to int64) (io.ReadCloser, error) {
			body, err := s.Blobs.Get(r.Context(), s.ResultKey(run.ID, res.Name), from, to-from)
			return body, s.wentMeanwhile(r.Context(), run, err)
		},
	})
}

// wentMeanwhile is the error of reading a result: that it is kept no longer, when
// that has come between our look at the run and the bytes.
func (s *server) wentMeanwhile(ctx context.Context, run *ci.Run, err error) error {
	if ci.CodeOf(err) != ci.CodeNotFound {
		return err
	}
	now, readErr := s.Store.GetRun(ctx, run.Job, run.ID)
	if readErr != nil {
		return readErr
	}
	return cmp.Or(now.ResultsExpired(), err)
}

// safeType lets only well-formed media types into a header.
func safeType(t string) string {
	kind, params, err := mime.ParseMediaType(t)
	if err == nil {
		if out := mime.FormatMediaType(kind, params); out != "" && strings.Contains(kind, "/") {
			return out
		}
	}
	return "application/octet-stream"
}

// attachment names a download (RFC 6266): plain ASCII for old clients, and the name itself in UTF-8.
func attachment(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || strings.ContainsRune(`"\/%`, r) {
			return '_'
		}
		return r
	}, name)
	if plain == "" {
		plain = "result"
	}
	value := `attachment; filename="` + plain + `"`
	if plain != name && name != "" {
		value += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return value
}
