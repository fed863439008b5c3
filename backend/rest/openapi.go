package rest

import (
	_ "embed"
	"net/http"
)

// document describes the API. It is generated from the route table and the .proto files; see
// openapi_test.go.
//
//go:embed openapi.yaml
var document []byte

func (s *server) serveOpenAPI(w *recorder, r *http.Request, _ []string) error {
	return writeDocument(w, r, "application/yaml", document)
}
