package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"ci/pkg/ci"
)

type pipelineModel struct {
	Name    types.String `tfsdk:"name"`
	Program types.String `tfsdk:"program"`
	Source  *sourceModel `tfsdk:"source"`
	Version types.Int64  `tfsdk:"version"`
}

type sourceModel struct {
	URL    types.String `tfsdk:"url"`
	Commit types.String `tfsdk:"commit"`
	Path   types.String `tfsdk:"path"`
}

func pipeline() kind[pipelineModel] {
	return kind[pipelineModel]{
		name: "pipeline", schema: pipelineSchema(), id: []string{"name"}, text: "program",
		check: func(given *pipelineModel) error { return given.pipeline().Validate() },
		create: func(ctx context.Context, s *server, want, _ *pipelineModel) (*pipelineModel, error) {
			name := want.Name.ValueString()
			if _, err := s.pipelines.GetPipeline(ctx, name); ci.CodeOf(err) != ci.CodeNotFound {
				return nil, firstOf(err, exists("pipeline", name, name))
			}
			return putPipeline(ctx, s, want, 0)
		},
		read: func(ctx context.Context, s *server, have *pipelineModel) (*pipelineModel, error) {
			p, err := s.pipelines.GetPipeline(ctx, have.Name.ValueString())
			if err != nil {
				return nil, err
			}
			return pipelineFrom(p), nil
		},
		update: func(ctx context.Context, s *server, want, have, _ *pipelineModel) (*pipelineModel, error) {
			return putPipeline(ctx, s, want, have.Version.ValueInt64())
		},
		remove: func(ctx context.Context, s *server, have *pipelineModel) error {
			return s.pipelines.DeletePipeline(ctx, have.Name.ValueString())
		},
	}
}

func putPipeline(ctx context.Context, s *server, want *pipelineModel, ifVersion int64) (*pipelineModel, error) {
	p, _, err := s.pipelines.PutPipeline(ctx, want.pipeline(), ifVersion)
	if err != nil {
		return nil, err
	}
	return pipelineFrom(p), nil
}

func (m *pipelineModel) pipeline() *ci.Pipeline {
	p := &ci.Pipeline{Name: m.Name.ValueString(), Program: m.Program.ValueString()}
	if s := m.Source; s != nil {
		p.Source = &ci.PipelineSource{URL: s.URL.ValueString(), Commit: s.Commit.ValueString(), Path: s.Path.ValueString()}
	}
	return p
}

func pipelineFrom(p *ci.Pipeline) *pipelineModel {
	m := &pipelineModel{Name: types.StringValue(p.Name), Program: types.StringValue(p.Program), Version: types.Int64Value(p.Version)}
	if s := p.Source; s != nil {
		m.Source = &sourceModel{types.StringValue(s.URL), types.StringValue(s.Commit), types.StringValue(s.Path)}
	}
	return m
}

func pipelineSchema() schema.Schema {
	return schema.Schema{
		MarkdownDescription: "A pipeline: a program that triggers runs, waits for them and decides what comes next. Runs that have begun stay with the program that they began with.",
		Attributes: map[string]schema.Attribute{
			"name":    nameAttribute("The pipeline's name."),
			"program": schema.StringAttribute{Required: true, MarkdownDescription: "Its text in Starlark: `file(\"release.star\")`."},
			"source": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "Where the text was read from, for people.",
				Attributes: map[string]schema.Attribute{
					"url":    schema.StringAttribute{Required: true, MarkdownDescription: "The repository."},
					"commit": schema.StringAttribute{Required: true, MarkdownDescription: "The full commit id."},
					"path":   schema.StringAttribute{Required: true, MarkdownDescription: "The file's path there."},
				},
			},
			"version": versionAttribute(),
		},
	}
}
