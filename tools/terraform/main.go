// Command terraform writes the reference in docs/terraform/README.md from the
// provider's schemas and the examples beside it, which are its only sources.
package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"ci/cmd/terraform-provider-ci/provider"
)

const (
	folder = "docs/terraform"
	begin  = "<!-- reference: written by make gen from the provider's schemas and examples/ -->\n"
	end    = "<!-- end of reference -->\n"
)

func main() {
	if err := write(context.Background(), folder); err != nil {
		fmt.Fprintln(os.Stderr, "terraform:", err)
		os.Exit(1)
	}
}

// write puts the reference between the two marks of the folder's README.
func write(ctx context.Context, folder string) error {
	file := filepath.Join(folder, "README.md")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place that begins with %q and ends with %q", file, begin, end)
	}
	p := page{examples: filepath.Join(folder, "examples")}
	if err := p.reference(ctx); err != nil {
		return err
	}
	return os.WriteFile(file, slices.Concat(before, []byte(begin), p.Bytes(), []byte(end), after), 0o644)
}

// page is what is being written.
type page struct {
	bytes.Buffer
	examples string
}

func (p *page) reference(ctx context.Context) error {
	schemas, err := providerserver.NewProtocol6(provider.New("docs")())().GetProviderSchema(ctx, new(tfprotov6.GetProviderSchemaRequest))
	if err != nil {
		return err
	}
	if len(schemas.Diagnostics) > 0 {
		return fmt.Errorf("the provider has no schema: %s", schemas.Diagnostics[0].Detail)
	}
	if err := p.section("The provider", "provider", schemas.Provider); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(schemas.ResourceSchemas)) {
		if err := p.section("`"+name+"`", name, schemas.ResourceSchemas[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(schemas.EphemeralResourceSchemas)) {
		if err := p.section("Ephemeral `"+name+"`", name+"_ephemeral", schemas.EphemeralResourceSchemas[name]); err != nil {
			return err
		}
	}
	p.WriteString("\n")
	return nil
}

// section is what there is to say of a schema, with its example.
func (p *page) section(title, example string, s *tfprotov6.Schema) error {
	text, err := os.ReadFile(filepath.Join(p.examples, example+".tf"))
	if err != nil {
		return fmt.Errorf("each schema has an example: %w", err)
	}
	fmt.Fprintf(p, "\n### %s\n\n%s\n\n```hcl\n%s```\n\n| attribute | | |\n|---|---|---|\n", title, s.Block.Description, text)
	p.rows("", s.Block.Attributes)
	return nil
}

// rows are those of attributes and of what is nested in them: what people must
// say first, what the server says last.
func (p *page) rows(prefix string, attributes []*tfprotov6.SchemaAttribute) {
	sorted := slices.Clone(attributes)
	slices.SortStableFunc(sorted, func(a, b *tfprotov6.SchemaAttribute) int {
		if rank(a) != rank(b) {
			return rank(a) - rank(b)
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, a := range sorted {
		fmt.Fprintf(p, "| `%s%s` | %s | %s |\n", prefix, a.Name, strings.Join(traits(a), ", "), strings.ReplaceAll(a.Description, "|", "\\|"))
		if a.NestedType == nil {
			continue
		}
		dots := a.Name + "."
		if a.NestedType.Nesting == tfprotov6.SchemaObjectNestingModeList {
			dots = a.Name + "[]."
		}
		p.rows(prefix+dots, a.NestedType.Attributes)
	}
}

func rank(a *tfprotov6.SchemaAttribute) int {
	switch {
	case a.Required:
		return 0
	case a.Optional:
		return 1
	}
	return 2
}

func traits(a *tfprotov6.SchemaAttribute) []string {
	list := []string{[]string{"required", "optional", "told by the server"}[rank(a)]}
	if a.WriteOnly {
		list = append(list, "write-only")
	} else if a.Sensitive {
		list = append(list, "sensitive")
	}
	return list
}
