package provider

import (
	"context"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"ci/pkg/ci"
	"ci/pkg/sshkey"
)

type sshKeyModel struct {
	Name        types.String   `tfsdk:"name"`
	Hosts       []hostKeyModel `tfsdk:"hosts"`
	PublicKey   types.String   `tfsdk:"public_key"`
	Fingerprint types.String   `tfsdk:"fingerprint"`
	Version     types.Int64    `tfsdk:"version"`
}

type hostKeyModel struct {
	Host types.String `tfsdk:"host"`
	Key  types.String `tfsdk:"key"`
}

func sshKey() kind[sshKeyModel] {
	return kind[sshKeyModel]{
		name: "ssh_key", schema: sshKeySchema(), id: []string{"name"},
		check: func(given *sshKeyModel) error {
			if err := ci.ValidateName(given.Name.ValueString()); err != nil {
				return err
			}
			_, err := sshkey.CheckHosts(given.hosts())
			return err
		},
		create: func(ctx context.Context, s *server, want, _ *sshKeyModel) (*sshKeyModel, error) {
			name := want.Name.ValueString()
			if _, err := s.GetSSHKey(ctx, name); ci.CodeOf(err) != ci.CodeNotFound {
				return nil, firstOf(err, exists("SSH key", name, name))
			}
			return putSSHKey(ctx, s, want, 0)
		},
		read: func(ctx context.Context, s *server, have *sshKeyModel) (*sshKeyModel, error) {
			key, err := s.GetSSHKey(ctx, have.Name.ValueString())
			if err != nil {
				return nil, err
			}
			return sshKeyFrom(key, have), nil
		},
		update: func(ctx context.Context, s *server, want, have, _ *sshKeyModel) (*sshKeyModel, error) {
			return putSSHKey(ctx, s, want, have.Version.ValueInt64())
		},
		remove: func(ctx context.Context, s *server, have *sshKeyModel) error {
			return s.DeleteSSHKey(ctx, have.Name.ValueString())
		},
	}
}

func putSSHKey(ctx context.Context, s *server, want *sshKeyModel, ifVersion int64) (*sshKeyModel, error) {
	key, _, err := s.PutSSHKey(ctx, want.Name.ValueString(), want.hosts(), ifVersion)
	if err != nil {
		return nil, err
	}
	return sshKeyFrom(key, want), nil
}

func (m *sshKeyModel) hosts() []ci.HostKey {
	var hosts []ci.HostKey
	for _, h := range m.Hosts {
		hosts = append(hosts, ci.HostKey{Host: h.Host.ValueString(), Key: h.Key.ValueString()})
	}
	return hosts
}

// sshKeyFrom spells the hosts as like does, where they are the same.
func sshKeyFrom(key ci.SSHKey, like *sshKeyModel) *sshKeyModel {
	m := &sshKeyModel{
		Name: types.StringValue(key.Name), Hosts: []hostKeyModel{}, PublicKey: types.StringValue(key.PublicKey),
		Fingerprint: types.StringValue(key.Fingerprint), Version: types.Int64Value(key.Version),
	}
	for _, h := range key.Hosts {
		m.Hosts = append(m.Hosts, hostKeyModel{types.StringValue(h.Host), types.StringValue(h.Key)})
	}
	if spelled, err := sshkey.CheckHosts(like.hosts()); err == nil && like.Hosts != nil && slices.Equal(spelled, key.Hosts) {
		m.Hosts = like.Hosts
	}
	return m
}

func sshKeySchema() schema.Schema {
	hostTypes := map[string]attr.Type{"host": types.StringType, "key": types.StringType}
	return schema.Schema{
		MarkdownDescription: "A key pair that the server makes and keeps: the private key never leaves it, and so is in no state. Give `public_key` to the host of the repository, as a deploy key. " +
			"A change of its hosts keeps the pair; one that a job names can't be deleted.",
		Attributes: map[string]schema.Attribute{
			"name": nameAttribute("How jobs name it."),
			"hosts": schema.ListNestedAttribute{
				Optional: true, Computed: true, Default: noneOf(hostTypes),
				MarkdownDescription: "The servers that the key is used for, each with a host key that is believed. A server that is not here is never asked.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"host": schema.StringAttribute{Required: true, MarkdownDescription: "As in `known_hosts`: `git.example.com`, or `[git.example.com]:2222`."},
					"key":  schema.StringAttribute{Required: true, MarkdownDescription: "Its type and base64: `ssh-ed25519 AAAA…`."},
				}},
			},
			"public_key":  keptAttribute("A line for `authorized_keys`, or a deploy key."),
			"fingerprint": keptAttribute("The key's `SHA256:…`."),
			"version":     versionAttribute(),
		},
	}
}

// keptAttribute is what the server says once, and never otherwise.
func keptAttribute(text string) schema.StringAttribute {
	return schema.StringAttribute{
		Computed: true, MarkdownDescription: text,
		PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
	}
}

// firstOf is err, or if that is nil other.
func firstOf(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
