package jobfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// corpus returns the job files of a folder of testdata, by name.
func corpus(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	files := map[string][]byte{}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		require.NoError(t, err)
		files[filepath.Base(p)] = data
	}
	return files
}

// faultsOf returns "path message" for each field of a refusal.
func faultsOf(t *testing.T, err error) []string {
	t.Helper()
	var e *ci.Error
	require.True(t, errors.As(err, &e), "want a *ci.Error, got %v", err)
	require.Equal(t, ci.CodeInvalid, e.Code)
	require.NotEmpty(t, e.Fields)
	var lines []string
	for _, f := range e.Fields {
		lines = append(lines, f.Path+" "+f.Message)
	}
	return lines
}

func TestGoodFiles(t *testing.T) {
	t.Parallel()
	for name, data := range corpus(t, "good") {
		spec, err := Parse(name, data, folder("testdata/good"))
		require.NoError(t, err, name)
		require.NotEmpty(t, spec.Script, name)
		require.NotEmpty(t, spec.Environment.Workdir, name)
		require.NotZero(t, spec.Resources, name)
	}
}

// TestBadFiles wants every line of NAME.txt to be the beginning of the fault
// in its place, after the file's name.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	for name, data := range corpus(t, "bad") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(filepath.Join("testdata", "bad", strings.TrimSuffix(name, ".yaml")+".txt"))
			require.NoError(t, err)
			start := time.Now()
			_, err = Parse(name, data, folder("testdata/bad"))
			require.Less(t, time.Since(start), 5*time.Second)
			got := faultsOf(t, err)
			lines := strings.Split(strings.TrimSpace(string(want)), "\n")
			require.Len(t, got, len(lines), "%s", strings.Join(got, "\n"))
			for i, line := range lines {
				require.Contains(t, got[i], line, strings.Join(got, "\n"))
				require.True(t, strings.HasPrefix(got[i], name+":") || strings.HasPrefix(got[i], "project/"), got[i])
			}
		})
	}
}

func TestEveryKey(t *testing.T) {
	t.Parallel()
	spec, err := Parse("x", corpus(t, "good")["every-key.yaml"], folder("testdata/good"))
	require.NoError(t, err)
	require.Len(t, spec.Services, 4, "memo, and web with what it needs")
	require.NotEmpty(t, spec.Notes)
	spec.Services, spec.Notes = nil, nil // TestServices
	require.Equal(t, &ci.Spec{
		Script: "#!/usr/bin/env python3\nprint(\"hello\")\n",
		Environment: ci.Environment{
			Image:   "registry.example.com:5000/team/golang:1.26@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			Workdir: "/src", User: "1000:1000", Shell: "/bin/bash",
		},
		Env: []string{"AWS_ACCESS_KEY_ID", "NPM_TOKEN"}, SSH: true, CI: true,
		Timeout:   ci.Duration(90 * time.Minute),
		StopGrace: ci.Duration(45 * time.Second),
		Resources: ci.Resources{CPUs: 0.5, Memory: 3 << 29, Pids: 64},
		Git:       ci.Checkout{Depth: 0, Submodules: true},
		Results: []ci.ResultSpec{
			{Name: "coverage", Path: "coverage.out", Type: "text/plain; charset=utf-8"},
			{Name: "image-tar", Path: "dist/app.tar"},
			{Name: "junit", Path: "reports/**/*.xml", Type: "application/zip"},
		},
	}, spec)
}

func TestBuild(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]ci.Build{
		"build.yaml":       {Dockerfile: "deploy/Dockerfile", Context: ".", Target: "test", Args: map[string]string{"GO_VERSION": "1.26", "EMPTY": ""}},
		"build-short.yaml": {Dockerfile: "Dockerfile", Context: "."},
	} {
		spec, err := Parse("x", corpus(t, "good")[name], nil)
		require.NoError(t, err)
		require.Equal(t, &want, spec.Environment.Build)
		require.Empty(t, spec.Environment.Image)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	want := ci.Spec{
		Script:      "make test",
		Environment: ci.Environment{Workdir: ci.DefaultWorkdir},
		Resources:   ci.Resources{CPUs: ci.DefaultCPUs, Memory: ci.DefaultMemory, Pids: ci.DefaultPids},
	}
	free, err := ParseFreestyle([]byte(`{"script": "make test"}`))
	require.NoError(t, err)
	require.Equal(t, want, *free, "a freestyle job has no checkout")
	want.Git.Depth = DefaultDepth
	spec, err := Parse("x", []byte("script: make test"), nil)
	require.NoError(t, err)
	require.Equal(t, want, *spec)
}

func TestSizeLimit(t *testing.T) {
	t.Parallel()
	fits := append([]byte("script: |\n  "), []byte(strings.Repeat("x", MaxBytes-13)+"\n")...)
	require.Len(t, fits, MaxBytes)
	_, err := Parse("x", fits, nil)
	require.NoError(t, err)
	_, err = Parse("x", append(fits, '\n'), nil)
	require.Equal(t, []string{"x:1:1 has 262145 bytes; at most 262144 are allowed"}, faultsOf(t, err))
	_, err = ParseFreestyle(fits[:MaxBytes])
	require.Error(t, err)
}

func TestFreestyle(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		doc  string
		want []string
	}{
		"paths": {
			`{"script": 1, "environment": {"image": "A"}, "results": {"a b": "x", "c": {"type": "t"}}, "env": ["A", 5]}`,
			[]string{
				`freestyle.script found the number 1; expected the script as text, in quotes ("1")`,
				`freestyle.environment.image "A" is not an image's reference`,
				`freestyle.results["a b"] "a b" is not a result's name`,
				"freestyle.results.c result `c` has no `path`",
				`freestyle.results.c.type "t" is not a media type`,
				`freestyle.env[1] found the number 5`,
			},
		},
		"git":     {`{"script": "x", "git": {"depth": 1}}`, []string{"freestyle.git a freestyle job has no repository"}},
		"build":   {`{"script": "x", "environment": {"dockerfile": "Dockerfile"}}`, []string{"freestyle.environment.dockerfile a freestyle job has no repository, so there is nothing to build an image from"}},
		"compose": {`{"script": "x", "compose": {"file": "c.yml"}}`, []string{"freestyle.compose a freestyle job has no repository, so there is no Compose file to read"}},
		"ssh":     {`{"script": "x", "ssh": true}`, []string{"freestyle.ssh there is no SSH key to forward: it belongs to a job's repository (git.sshKey)"}},
		"service build": {
			`{"script": "x", "services": {"a": {"build": "."}, "b": {"image": "b", "env_file": ".env"}, "c": {"image": "c", "privileged": true}}}`,
			[]string{
				"freestyle.services.a.build service `a`: `build`: a freestyle job has no repository to build from; name an image",
				"freestyle.services.b.env_file service `b`: `env_file`: a freestyle job has no repository to read it from",
				"freestyle.services.c.privileged service `c`: `privileged` is refused",
			},
		},
		"duplicate":  {`{"script": "x", "script": "y"}`, []string{"freestyle.script the key `script` is there twice; keep one"}},
		"not object": {`["x"]`, []string{"freestyle found a list; expected a mapping"}},
		"null":       {`null`, []string{"freestyle found nothing; expected a mapping"}},
		"empty":      {``, []string{"freestyle is not JSON at byte 0: "}},
		"cut":        {`{"script": "x"`, []string{"freestyle is not JSON at byte "}},
		"trailing":   {`{"script": "x"} {}`, []string{"freestyle is not JSON at byte 17: something follows"}},
		"yaml":       {"script: x", []string{"freestyle is not JSON"}},
		"deep":       {`{"script": ` + strings.Repeat("[", 100_000), []string{"freestyle is not JSON at byte 43: it is nested too deeply"}},
		"huge":       {`{"script": "x", "resources": {"cpus": 1e999}}`, []string{"freestyle is not JSON at byte 43: the number 1e999 is out of range"}},
		"not utf-8":  {"{\"script\": \"\xff\"}", []string{"freestyle found the byte 0xff"}},
		"nul":        {`{"script": "a\u0000b"}`, []string{"freestyle.script the script holds a NUL"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseFreestyle([]byte(tt.doc))
			got := faultsOf(t, err)
			require.Len(t, got, len(tt.want), "%v", got)
			for i := range got {
				require.Contains(t, got[i], tt.want[i])
			}
		})
	}
}
