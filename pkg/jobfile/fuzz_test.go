package jobfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzParse wants no panic and a bounded time, whatever the bytes are.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"good", "bad"} {
		for _, data := range corpus(f, folder) {
			f.Add(data)
		}
	}
	others, _ := filepath.Glob("../../../shared/data/compose/awesome-compose/*/*.y*ml")
	for _, p := range others {
		if data, err := os.ReadFile(p); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		spec, err := Parse("fuzz", data, nil)
		if d := time.Since(start); d > 5*time.Second {
			t.Fatalf("took %s for %d bytes", d, len(data))
		}
		if (spec == nil) == (err == nil) {
			t.Fatal("want a spec or an error")
		}
		if spec != nil && strings.TrimSpace(spec.Script) == "" {
			t.Fatal("accepted an empty script")
		}
		_, _ = ParseFreestyle(data)
	})
}

// FuzzCompose wants no panic, a bounded time and faults with places, whatever
// the bytes of a Compose file and of the variables beside it are; and nothing
// that reaches for the machine in what is accepted.
func FuzzCompose(f *testing.F) {
	for _, folder := range []string{"testdata/good/project", "testdata/bad/project", composeData + "/awesome-compose/*", composeData + "/compose-go/*/testdata", composeData + "/compose-go/loader/testdata/*"} {
		paths, _ := filepath.Glob(folder + "/*.y*ml")
		for _, p := range paths {
			if data, err := os.ReadFile(p); err == nil {
				f.Add(data, []byte("A=1\nB=\"$A\""))
			}
		}
	}
	for _, data := range corpus(f, "good") {
		f.Add(data, []byte("x"))
	}
	f.Fuzz(func(t *testing.T, data, env []byte) {
		start := time.Now()
		spec, err := Parse("fuzz", []byte("script: x\ncompose: {file: compose.yaml}"), func(path string) ([]byte, error) {
			if path == "compose.yaml" {
				return data, nil
			}
			return env, nil
		})
		if d := time.Since(start); d > 10*time.Second {
			t.Fatalf("took %s for %d bytes", d, len(data))
		}
		if (spec == nil) == (err == nil) {
			t.Fatal("want a spec or an error")
		}
		if spec == nil {
			faultsOf(t, err)
			return
		}
		for _, s := range spec.Services {
			if (s.Image == "") == (s.Build == nil) {
				t.Fatalf("service %q has not exactly one of image and build", s.Name)
			}
			for _, m := range s.Mounts {
				if m.Volume != "" && !volumeName.MatchString(m.Volume) || !strings.HasPrefix(m.Target, "/") {
					t.Fatalf("service %q mounts %q", s.Name, m.Volume)
				}
			}
			if s.Build != nil && (strings.HasPrefix(s.Build.Context, "/") || strings.HasPrefix(s.Build.Context, "..")) {
				t.Fatalf("service %q is built from %q", s.Name, s.Build.Context)
			}
		}
	})
}
