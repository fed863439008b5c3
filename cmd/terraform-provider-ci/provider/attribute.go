package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/defaults"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/listdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// What the API leaves out has a default here, and never is null: "not said" and
// "empty" are one thing to the API, and have to be one in the state, or a plan
// would see a difference that is none.

// nameAttribute is the name of a thing, which can't be renamed.
func nameAttribute(text string) schema.StringAttribute {
	return schema.StringAttribute{
		Required: true, MarkdownDescription: text,
		PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
	}
}

// textAttribute is text that may be empty.
func textAttribute(text string) schema.StringAttribute {
	return schema.StringAttribute{Optional: true, Computed: true, Default: stringdefault.StaticString(""), MarkdownDescription: text}
}

// flagAttribute is a yes or no; no unless it is said.
func flagAttribute(text string) schema.BoolAttribute {
	return schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(false), MarkdownDescription: text}
}

// listAttribute is a list of texts that may be empty.
func listAttribute(text string, preset ...attr.Value) schema.ListAttribute {
	return schema.ListAttribute{
		Optional: true, Computed: true, ElementType: types.StringType, MarkdownDescription: text,
		Default: listdefault.StaticValue(types.ListValueMust(types.StringType, preset)),
	}
}

// versionAttribute is what guards a change against one that came between.
func versionAttribute() schema.Int64Attribute {
	return schema.Int64Attribute{Computed: true, MarkdownDescription: "Grows with each change. A change is refused when somebody else's came between."}
}

// unseenAttribute goes to the server, and into no plan and no state.
func unseenAttribute(text string, required bool) schema.StringAttribute {
	return schema.StringAttribute{
		Required: required, Optional: !required, Sensitive: true, WriteOnly: true,
		MarkdownDescription: text + " It may be ephemeral: a variable with `ephemeral = true`, or what an ephemeral resource says.",
	}
}

// againAttribute is what has something set again that can't be compared.
func againAttribute(what string) schema.Int64Attribute {
	return schema.Int64Attribute{
		Optional: true, Computed: true, Default: int64default.StaticInt64(1),
		MarkdownDescription: "Raise it to have " + what + " set again. Default: 1.",
	}
}

// noneOf is the default of a list of objects.
func noneOf(fields map[string]attr.Type) defaults.List {
	return listdefault.StaticValue(types.ListValueMust(types.ObjectType{AttrTypes: fields}, nil))
}

func parameterTypes() map[string]attr.Type {
	return map[string]attr.Type{"name": types.StringType, "default": types.StringType, "required": types.BoolType, "description": types.StringType}
}

// some is a list that is empty rather than absent.
func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
