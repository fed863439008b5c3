package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"strings"

	"ci/backend/web/logpage"
)

//go:embed assets/*
var assetFiles embed.FS

// static serves the style sheet, the script and the icon. Their addresses hold
// a sum of their content, so browsers keep them for good.
type static struct{ files map[string]asset }

type asset struct {
	kind          string
	plain, zipped []byte
	sum           string
}

func newStatic() (*static, error) {
	s := &static{files: map[string]asset{}}
	for name, kind := range map[string]string{
		"app.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		plain, err := assetFiles.ReadFile("assets/" + name)
		if err != nil {
			return nil, err
		}
		if name == "app.css" {
			plain = append(plain, logpage.Palette()...)
		}
		sum := sha256.Sum256(plain)
		s.files[name] = asset{kind: kind, plain: plain, zipped: zipped(plain), sum: hex.EncodeToString(sum[:6])}
	}
	return s, nil
}

func zipped(plain []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(plain)
	_ = z.Close() // a buffer takes everything
	return b.Bytes()
}

// address is where a page finds an asset.
func (s *static) address(name string) string {
	return root + "/static/" + name + "?v=" + s.files[name].sum
}

// ServeHTTP serves one file. There is nothing secret in them, so nobody has to sign in.
func (s *static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, ok := s.files[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Vary", "Accept-Encoding")
	if r.URL.Query().Get("v") == a.sum {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := a.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = a.zipped
	}
	_, _ = w.Write(body) // whoever is gone needs no asset
}
