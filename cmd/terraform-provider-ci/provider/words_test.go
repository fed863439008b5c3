package provider_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestEveryWordHasAnAttribute: what people can say of a thing by API they can
// say here. A new field of a word fails this test until it has its attribute,
// or is named here as what the server says alone.
func TestEveryWordHasAnAttribute(t *testing.T) {
	t.Parallel()
	c := setup(t)
	for _, w := range []struct {
		word   any
		kind   string
		nested string // the attribute that holds it, "" for the resource itself
		alone  []string
	}{
		{ci.Job{}, "ci_job", "", []string{"CreatedAt", "UpdatedAt"}},
		{ci.Git{}, "ci_job", "git", nil},
		{ci.Parameter{}, "ci_job", "parameters", nil},
		{ci.Keep{}, "ci_job", "keep", nil},
		{ci.Limits{}, "ci_job", "keep.console", nil},
		{ci.Keep{}, "ci_config", "keep_total", nil},
		{ci.Secret{}, "ci_secret", "", []string{"UpdatedAt", "UpdatedBy"}},
		{ci.SSHKey{}, "ci_ssh_key", "", []string{"CreatedAt"}},
		{ci.HostKey{}, "ci_ssh_key", "hosts", []string{"Fingerprint"}},
		{ci.Token{}, "ci_token", "", []string{"CreatedAt", "RevokedAt"}},
		{ci.EventTrigger{}, "ci_event_trigger", "", []string{"CreatedAt", "UpdatedAt"}},
		{ci.Pipeline{}, "ci_pipeline", "", []string{"Parameters", "CreatedAt", "UpdatedAt", "UpdatedBy"}},
		{ci.PipelineSource{}, "ci_pipeline", "source", nil},
		{ci.Config{}, "ci_config", "", nil},
		{ci.Registry{}, "ci_registry", "", []string{"UpdatedBy"}},
		{ci.RegistryAccess{}, "ci_registry", "", nil},
		{ci.Forge{}, "ci_forge", "", []string{"API" /* api_url, as on the wire */, "CreatedAt", "UpdatedAt"}},
		{ci.ForgeKeys{}, "ci_forge", "", nil},
		{ci.Quota{}, "ci_config", "classes", nil},
	} {
		typ := c.schemas.ResourceSchemas[w.kind].ValueType()
		for _, name := range strings.FieldsFunc(w.nested, func(r rune) bool { return r == '.' }) {
			typ = typ.(tftypes.Object).AttributeTypes[name]
		}
		if list, ok := typ.(tftypes.List); ok {
			typ = list.ElementType
		}
		var attributes []string
		for name := range typ.(tftypes.Object).AttributeTypes {
			attributes = append(attributes, strings.ReplaceAll(name, "_", ""))
		}
		for f := range reflect.TypeOf(w.word).Fields() {
			if !slices.Contains(w.alone, f.Name) {
				require.Contains(t, attributes, strings.ToLower(f.Name), "%T.%s has no attribute in %s", w.word, f.Name, w.kind)
			}
		}
	}
}
