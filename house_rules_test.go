package house

import (
	"go/token"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRulesBite breaks each rule once: a rule that never fails is none.
func TestRulesBite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, path, text string
		want             []string // parts of the one fault each; none for code that is fine
	}{
		{"allowed", "backend/engine/x.go", `package engine; import _ "ci/pkg/ci"`, nil},
		{"arrow", "backend/engine/x.go", `package engine; import _ "ci/backend/rest"`, []string{"x.go:1: backend/engine imports backend/rest"}},
		{"tests may more", "backend/engine/x_test.go", `package engine; import _ "ci/backend/storetest"`, nil},
		{"words", "pkg/ci/x.go", `package ci; import _ "example.org/x"`, []string{"the standard library alone"}},
		{"houses", "backend/engine/x.go", `package engine; import _ "ci/agentd"`, []string{"imports agentd; if", "houses never import each other"}},
		{"doors", "backend/engine/x.go", `package engine; import _ "ci/cmd/cid"`, []string{"imports cmd/cid; if", "nothing imports a door"}},
		{"layer", "backend/pipeline/x.go", `package pipeline; import _ "ci/backend/engine"`, []string{"imports backend/engine; if", "a layer on the API knows the API alone"}},
		{"provider", "cmd/terraform-provider-ci/provider/x.go", `package provider; import _ "ci/backend/store"`, []string{"imports backend/store; if", "a layer on the API knows the API alone"}},
		{"generated", "backend/engine/x.go", `package engine; import _ "ci/pkg/api/gen/v1"`, []string{"imports pkg/api/gen/v1; if", "generated code is seen by"}},
		{"fence", "backend/engine/x.go", `package engine; import _ "example.org/big/client"`, []string{"row `example.org/big` of the fences"}},
		{"init", "backend/engine/x.go", `package engine; func init() {}`, []string{"init runs unasked"}},
		{"empty global", "backend/engine/x.go", `package engine; var x int`, []string{"x is a package-level variable without a value"}},
		{"lock", "backend/engine/x.go", `package engine; import "sync"; var mu = sync.Mutex{}`, []string{"mu is a package-level variable that is made to change"}},
		{"table", "backend/engine/x.go", `package engine; var words = []string{"a"}`, nil},
		{"assertion", "backend/engine/x.go", `package engine; type t int; var _ interface{} = t(0)`, nil},
		{"written table", "backend/engine/x.go", `package engine; var m = map[int]int{}; func f() { m[1] = 2 }`, []string{"changes the package-level variable m"}},
		{"counter", "backend/engine/x.go", `package engine; var n = 1; func f() { n++ }`, []string{"variable n"}},
		{"address", "backend/engine/x.go", `package engine; var n = 1; func f() *int { return &n }`, []string{"variable n"}},
		{"a local of that name", "backend/engine/x.go", `package engine; var n = 1; func f() { n := 2; n++ }`, nil},
		{"another's variable", "backend/engine/x.go", `package engine; import "net/http"; func f() { http.DefaultClient = nil }`, []string{"variable http.DefaultClient"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := &house{
				fset:   token.NewFileSet(),
				rooms:  map[string][]string{"backend/engine": {"pkg/ci"}},
				tests:  map[string][]string{"backend/engine": {"backend/storetest"}},
				fences: map[string][]string{"example.org/big": {"backend/other"}},
			}
			require.NoError(t, h.parse(c.path, c.text))
			faults := append(append(append(h.arrows(), h.laws()...), h.fenced()...), h.hiddenState()...)
			require.Len(t, faults, len(c.want), "%s", strings.Join(faults, "\n"))
			for i, want := range c.want {
				require.Contains(t, faults[i], want)
			}
		})
	}
}
