package vaultserver

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// put adds a version. s.mu is held.
func (s *Server) put(path string, data map[string]any) *entry {
	e := s.secrets[path]
	if e == nil {
		e = &entry{}
		s.secrets[path] = e
	}
	e.Versions = append(e.Versions, version{Data: data, Created: time.Now().UTC()})
	return e
}

func (e *entry) last() *version { return &e.Versions[len(e.Versions)-1] }

func (v *version) describe(n int, custom map[string]any) map[string]any {
	deleted := ""
	if !v.Deleted.IsZero() {
		deleted = v.Deleted.Format(time.RFC3339Nano)
	}
	return map[string]any{
		"version": n, "created_time": v.Created.Format(time.RFC3339Nano), "deletion_time": deleted,
		"destroyed": v.Destroyed, "custom_metadata": custom,
	}
}

func (s *Server) data(w http.ResponseWriter, r *http.Request, path string, body map[string]any) {
	e := s.secrets[path]
	data, isData := body["data"].(map[string]any)
	switch {
	case isWrite(r) && !isData:
		fail(w, http.StatusBadRequest, "no data provided")
	case isWrite(r):
		e = s.put(path, data)
		answer(w, map[string]any{"data": e.last().describe(len(e.Versions), e.Custom)})
	case e == nil || len(e.Versions) == 0:
		fail(w, http.StatusNotFound)
	case r.Method == http.MethodDelete:
		e.last().Deleted = time.Now().UTC()
		w.WriteHeader(http.StatusNoContent)
	default:
		s.counts["read"]++
		meta := e.last().describe(len(e.Versions), e.Custom)
		if !e.last().Deleted.IsZero() { // Vault answers with what it knows, and says 404
			reply(w, http.StatusNotFound, map[string]any{"data": map[string]any{"data": nil, "metadata": meta}})
			return
		}
		answer(w, map[string]any{"data": map[string]any{"data": e.last().Data, "metadata": meta}})
	}
}

func (s *Server) metadata(w http.ResponseWriter, r *http.Request, path string, body map[string]any) {
	if r.Method == "LIST" || (r.Method == http.MethodGet && r.URL.Query().Get("list") == "true") {
		s.list(w, strings.TrimSuffix(path, "/")+"/")
		return
	}
	e := s.secrets[path]
	switch {
	case isWrite(r):
		if e == nil {
			e = &entry{}
			s.secrets[path] = e
		}
		if custom, ok := body["custom_metadata"].(map[string]any); ok {
			e.Custom = custom
		}
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodDelete:
		delete(s.secrets, path)
		w.WriteHeader(http.StatusNoContent)
	case e == nil:
		fail(w, http.StatusNotFound)
	default:
		versions := map[string]any{}
		for i := range e.Versions {
			versions[strconv.Itoa(i+1)] = e.Versions[i].describe(i+1, nil)
		}
		now := time.Now().UTC().Format(time.RFC3339Nano)
		answer(w, map[string]any{"data": map[string]any{
			"cas_required": false, "created_time": now, "current_version": len(e.Versions), "custom_metadata": e.Custom,
			"delete_version_after": "0s", "max_versions": 0, "oldest_version": 0, "updated_time": now, "versions": versions,
		}})
	}
}

func (s *Server) list(w http.ResponseWriter, folder string) {
	var keys []string
	for path := range s.secrets {
		if rest, ok := strings.CutPrefix(path, folder); ok {
			name, _, deeper := strings.Cut(rest, "/")
			if deeper {
				name += "/"
			}
			keys = append(keys, name)
		}
	}
	if len(keys) == 0 {
		fail(w, http.StatusNotFound)
		return
	}
	slices.Sort(keys)
	answer(w, map[string]any{"data": map[string]any{"keys": slices.Compact(keys)}})
}
