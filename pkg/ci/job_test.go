package ci_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// fieldsOf returns the paths of an invalid input, and nil for a valid one.
func fieldsOf(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *ci.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, ci.CodeInvalid, e.Code)
	var paths []string
	for _, f := range e.Fields {
		require.NotEmpty(t, f.Message, f.Path)
		paths = append(paths, f.Path)
	}
	return paths
}

func TestValidateName(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "unit-test", "Unit_Test.2", "0", strings.Repeat("x", ci.MaxNameLen)} {
		require.NoError(t, ci.ValidateName(good), good)
	}
	for _, bad := range []string{"", "-a", ".a", "_a", "a/b", "a b", "a\n", "ä", "a\x00", "..", strings.Repeat("x", ci.MaxNameLen+1)} {
		require.Error(t, ci.ValidateName(bad), "%q", bad)
	}
}

func TestJobValidate(t *testing.T) {
	t.Parallel()
	git := func(path string) *ci.Git { return &ci.Git{URL: "https://host/r.git", ConfigPath: path} }
	job := func(change func(*ci.Job)) *ci.Job {
		j := &ci.Job{Name: "unit-test", Git: git("ci/test.yaml")}
		change(j)
		return j
	}
	for _, c := range []struct {
		name string
		job  *ci.Job
		want []string
	}{
		{"git", job(func(*ci.Job) {}), nil},
		{"freestyle", &ci.Job{Name: "hello", Freestyle: []byte(`{"script":"true"}`)}, nil},
		{"neither", &ci.Job{Name: "hello"}, []string{"git"}},
		{"both", job(func(j *ci.Job) { j.Freestyle = []byte("{}") }), []string{"git"}},
		{"name", job(func(j *ci.Job) { j.Name = "no/slash" }), []string{"name"}},
		{"no url", job(func(j *ci.Job) { j.Git.URL = "" }), []string{"git.url"}},
		{"url with NUL", job(func(j *ci.Job) { j.Git.URL += "\x00" }), []string{"git.url"}},
		{"no path", job(func(j *ci.Job) { j.Git.ConfigPath = "" }), []string{"git.configPath"}},
		{"absolute path", job(func(j *ci.Job) { j.Git = git("/etc/passwd") }), []string{"git.configPath"}},
		{"path that climbs", job(func(j *ci.Job) { j.Git = git("ci/../../x") }), []string{"git.configPath"}},
		{"path with a dot", job(func(j *ci.Job) { j.Git = git("./x") }), []string{"git.configPath"}},
		{"path with a colon", job(func(j *ci.Job) { j.Git = git("a:b") }), []string{"git.configPath"}},
		{"path with a newline", job(func(j *ci.Job) { j.Git = git("a\nb") }), []string{"git.configPath"}},
		{"path of bad UTF-8", job(func(j *ci.Job) { j.Git = git("a\xff") }), []string{"git.configPath"}},
		{"key", job(func(j *ci.Job) { j.Git.SSHKey = "no such name" }), []string{"git.sshKey"}},
		{"parameters", job(func(j *ci.Job) {
			j.Parameters = []ci.Parameter{{Name: "A"}, {Name: "A"}, {Name: "1A"}, {Name: "CI_JOB"}, {Name: "CI"}, {Name: "B", Default: "\xff"}}
		}), []string{"parameters[1].name", "parameters[2].name", "parameters[3].name", "parameters[4].name", "parameters[5].default"}},
		{"too many parameters", job(func(j *ci.Job) {
			for i := range ci.MaxParameters + 1 {
				j.Parameters = append(j.Parameters, ci.Parameter{Name: "P" + strings.Repeat("x", i)})
			}
		}), []string{"parameters"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, fieldsOf(t, c.job.Validate()))
		})
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	job := &ci.Job{Name: "j", Parameters: []ci.Parameter{
		{Name: "LEVEL", Default: "1"}, {Name: "TARGET", Required: true},
	}}
	values, err := job.Values(map[string]string{"TARGET": ""})
	require.NoError(t, err, "an empty value is a value")
	require.Equal(t, map[string]string{"LEVEL": "1", "TARGET": ""}, values)

	_, err = job.Values(map[string]string{"X": "1", "A": "1"})
	require.Equal(t, []string{"parameters.TARGET", "parameters.A", "parameters.X"}, fieldsOf(t, err))
	require.ErrorContains(t, err, "it has LEVEL, TARGET")

	for _, bad := range []string{"\x00", "\xff", strings.Repeat("x", ci.MaxParameterValue+1)} {
		_, err = job.Values(map[string]string{"TARGET": bad})
		require.Equal(t, []string{"parameters.TARGET"}, fieldsOf(t, err))
	}

	none := &ci.Job{Name: "none"}
	values, err = none.Values(nil)
	require.NoError(t, err)
	require.Empty(t, values)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk full")
	err := ci.Errorf(ci.CodeUnavailable, "run %d: %w", 7, cause)
	require.EqualError(t, err, "run 7: disk full")
	require.ErrorIs(t, err, cause)
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(errors.Join(errors.New("x"), err)))
	require.Equal(t, ci.CodeInternal, ci.CodeOf(cause))
	require.Empty(t, ci.CodeOf(nil))
	err.Fields = []ci.Field{{Path: "a.yaml:3:1", Message: "no such key"}}
	require.EqualError(t, err, "run 7: disk full; a.yaml:3:1: no such key")
}
