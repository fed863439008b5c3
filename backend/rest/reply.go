package rest

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"ci/backend/rpc"
	"ci/backend/rpc/wirejson"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// immutable is for what never changes again. Others than the caller may not keep it.
const immutable = "private, max-age=31536000, immutable"

// reply writes a method's answer as REST has it: status, headers, body.
func (t *transcoder) reply(w *recorder, r *http.Request, resp proto.Message) error {
	status := t.method.Status
	if _, empty := resp.(*emptypb.Empty); empty {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if status == 0 {
		status = http.StatusOK
	}
	status = t.describe(w.Header(), r, resp, status)
	if t.answer != nil {
		resp = resp.ProtoReflect().Get(t.answer).Message().Interface()
	}
	body, err := wirejson.Marshal(resp)
	if err != nil {
		return ci.Errorf(ci.CodeInternal, "the answer could not be written as JSON: %w", err)
	}
	tag(w.Header(), resp, body)
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	if read && noneMatch(r, w.Header().Get("ETag")) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(t.server.Stall)) // where there are deadlines
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a reader that is gone needs no error
	}
	return nil
}

// describe sets the headers that follow from what is in the answer, and
// returns its status.
func (t *transcoder) describe(h http.Header, r *http.Request, resp proto.Message, status int) int {
	switch m := resp.(type) {
	case *civ1.PutJobResponse:
		if m.GetCreated() {
			h.Set("Location", "/jobs/"+m.GetJob().GetName())
			return http.StatusCreated
		}
	case *civ1.PutSSHKeyResponse:
		if m.GetCreated() {
			h.Set("Location", "/ssh-keys/"+m.GetKey().GetName())
			return http.StatusCreated
		}
	case *civ1.PutForgeResponse:
		if m.GetCreated() {
			h.Set("Location", "/forges/"+m.GetForge().GetName())
			return http.StatusCreated
		}
	case *civ1.PutEventTriggerResponse:
		if m.GetCreated() {
			h.Set("Location", "/github/triggers/"+m.GetTrigger().GetName())
			return http.StatusCreated
		}
	case *civ1.TriggerRunResponse:
		h.Set("Location", convert.RunPath(m.GetRun().GetJob(), int64(m.GetRun().GetId())))
		if m.GetReplayed() {
			h.Set("Idempotency-Replayed", "true")
		}
	case *civ1.CreateTokenResponse:
		h.Set("Location", "/tokens/"+m.GetToken().GetId())
	case *civ1.Run:
		if m.GetStatus() == string(ci.StatusDone) && t.method.Action == "run.read" {
			keep(h)
		}
	case *civ1.ListResultsResponse:
		if m.GetFinal() {
			keep(h)
		}
	case interface{ GetNextPageToken() string }:
		if next := m.GetNextPageToken(); next != "" {
			h.Set("Link", `<`+nextPage(r, next)+`>; rel="next"`)
		}
	}
	return status
}

// keep lets the caller's own cache keep the answer for good.
func keep(h http.Header) {
	h.Set("Cache-Control", immutable)
	h.Add("Vary", "Authorization")
}

func nextPage(r *http.Request, token string) string {
	q := r.URL.Query()
	q.Set("pageToken", token)
	return r.URL.Path + "?" + q.Encode()
}

// tag sets a strong ETag: the version where the thing has one that If-Match takes, else
// a hash of the body.
func tag(h http.Header, resp proto.Message, body []byte) {
	switch m := resp.(type) {
	case *civ1.Job:
		h.Set("ETag", rpc.JobTag(m))
	case *civ1.Config:
		h.Set("ETag", rpc.ConfigTag(m))
	case *civ1.SSHKey:
		h.Set("ETag", rpc.SSHKeyTag(m))
	case *civ1.Forge:
		h.Set("ETag", rpc.ForgeTag(m))
	case *civ1.EventTrigger:
		h.Set("ETag", rpc.EventTriggerTag(m))
	case *civ1.CreateTokenResponse: // a secret: nothing of it stays
	default:
		sum := sha256.Sum256(body)
		h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`)
	}
}

// noneMatch says whether the caller has this version already (RFC 9110, 13.1.2: compared weakly).
func noneMatch(r *http.Request, etag string) bool {
	if etag == "" {
		return false
	}
	for _, header := range r.Header.Values("If-None-Match") {
		for _, t := range strings.Split(header, ",") {
			if t = strings.TrimSpace(t); t == "*" || strings.TrimPrefix(t, "W/") == etag {
				return true
			}
		}
	}
	return false
}
