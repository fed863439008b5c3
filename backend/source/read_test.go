package source_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/source"
	"ci/pkg/ci"
)

// What a job file names is read at the same commit, by the same rules.
func TestPlanReadsFurtherFiles(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.set("uploadpack.allowFilter", "true")
	filtering := r.serve(nil)
	oldProtocol := r.serve(func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			req.Header.Del("Git-Protocol")
			h.ServeHTTP(w, req)
		})
	})
	for name, w := range map[string]*web{"filtering": filtering, "old protocol": oldProtocol} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := planner(t, nil, w.host())
			err := s.Plan(t.Context(), job(w.url(), "ci/test.yaml"), ci.GitAccess{}, "", "main", func(commit string, file []byte, read source.Read) error {
				require.Equal(t, r.tip, commit)
				require.Equal(t, jobFile, string(file))
				more, err := read("ci/größe 'a b'.yaml")
				require.NoError(t, err)
				require.Equal(t, "script: odd\n", string(more))
				for path, want := range map[string]string{
					"ci/nope.yaml": "file ci/nope.yaml does not exist at commit " + r.tip,
					"ci/link.yaml": "is a symbolic link; a file that it is described with must be a regular file",
					"ci":           "is a directory",
					"ci/over.yaml": "is larger than 256KiB",
					"../x":         `"../x" must not hold empty, '.' or '..' parts`,
					"/etc/passwd":  `"/etc/passwd" must be relative to the repository's root`,
					"a\nb":         "must not hold control characters",
					"":             "must not hold empty",
				} {
					_, err := read(path)
					require.ErrorContains(t, err, want, path)
					code := ci.CodeInvalid
					if path == "ci/nope.yaml" {
						code = ci.CodeNotFound
					}
					require.Equal(t, code, ci.CodeOf(err), path)
				}
				return nil
			})
			require.NoError(t, err)
		})
	}
}

func TestPlanBoundsFurtherFiles(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	w := r.serve(nil)
	s := planner(t, nil, w.host())
	reads := 0
	err := s.Plan(t.Context(), job(w.url(), "ci/test.yaml"), ci.GitAccess{}, "", "main", func(_ string, _ []byte, read source.Read) error {
		for {
			if _, err := read("ci/test.yaml"); err != nil {
				return err
			}
			reads++
		}
	})
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%v", err)
	require.Equal(t, 63, reads)
}

// A host that goes away between two files is asked again later, and what parse
// says comes back as it is.
func TestPlanPassesParsesError(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.set("uploadpack.allowFilter", "true")
	w := r.serve(nil)
	s := planner(t, nil, w.host())
	mine := ci.Errorf(ci.CodeInvalid, "no job file of mine")
	err := s.Plan(t.Context(), job(w.url(), "ci/test.yaml"), ci.GitAccess{}, "", "main", func(string, []byte, source.Read) error { return mine })
	require.Same(t, mine, err)
	err = s.Plan(t.Context(), job(w.url(), "ci/test.yaml"), ci.GitAccess{}, "", "main", func(_ string, _ []byte, read source.Read) error {
		w.Close()
		_, err := read("ci/full.yaml")
		return err
	})
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
	require.True(t, strings.Contains(err.Error(), "can't be reached"), "%v", err)
}
