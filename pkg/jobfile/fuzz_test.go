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
