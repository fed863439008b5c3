package pipeline

import (
	"bytes"

	"ci/pkg/api"
)

// read parses the body strictly. An empty one is fine where all is optional.
func (r *request) read(into any) error {
	body := bytes.TrimSpace(r.body)
	if len(body) == 0 {
		return nil
	}
	return api.DecodeStrict(r.Request, body, into)
}
