package provider_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/stretchr/testify/require"

	"ci/backend"
	"ci/cmd/terraform-provider-ci/provider"
	"ci/pkg/api"
	"ci/pkg/ci"
)

// core plays OpenTofu: it speaks with the provider as OpenTofu does, and checks
// what OpenTofu would check. Behind the provider is a whole backend.
type core struct {
	t       *testing.T
	admin   *api.Client
	url     string
	token   string
	server  tfprotov6.ProviderServer
	schemas *tfprotov6.GetProviderSchemaResponse
}

func setup(t *testing.T) *core {
	t.Helper()
	c := &core{t: t}
	c.url, c.token = serve(t)
	var err error
	c.admin, err = api.New(api.Config{URL: c.url, Token: c.token})
	require.NoError(t, err)
	c.server, err = providerserver.NewProtocol6WithError(provider.New("test")())()
	require.NoError(t, err)
	c.schemas, err = c.server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	require.NoError(t, err)
	require.Empty(t, said(c.schemas.Diagnostics))
	require.Empty(t, c.configure(map[string]any{"url": c.url, "token": c.token}))
	return c
}

// serve starts a backend and returns its address and an admin's token.
func serve(t *testing.T) (url, token string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	b, err := backend.New(t.Context(), backend.Config{
		Dir: t.TempDir(), Key: key, URL: "http://ci.test", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- b.Run(ctx) }()
	server := httptest.NewServer(b.Handler())
	t.Cleanup(func() {
		b.Release()
		server.Close()
		stop()
		if err := <-ran; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		require.NoError(t, b.Close())
	})
	token, _, err = b.Auth.Mint(t.Context(), ci.Token{Name: "terraform", Role: ci.RoleAdmin})
	require.NoError(t, err)
	return server.URL, token
}

// configure hands the provider its settings and returns what it says of them.
func (c *core) configure(settings map[string]any) []string {
	c.t.Helper()
	resp, err := c.server.ConfigureProvider(c.t.Context(), &tfprotov6.ConfigureProviderRequest{
		TerraformVersion: "1.12.0", Config: wire(c.t, valueOf(c.t, c.schemas.Provider.ValueType(), settings)),
	})
	require.NoError(c.t, err)
	return said(resp.Diagnostics)
}

// said are diagnostics as lines: the attribute, and what is said of it.
func said(list []*tfprotov6.Diagnostic) []string {
	var lines []string
	for _, d := range list {
		line := d.Summary + ": " + d.Detail
		if d.Attribute != nil && len(d.Attribute.Steps()) > 0 {
			line = d.Attribute.String() + ": " + line
		}
		lines = append(lines, line)
	}
	return lines
}

func wire(t *testing.T, v tftypes.Value) *tfprotov6.DynamicValue {
	t.Helper()
	d, err := tfprotov6.NewDynamicValue(v.Type(), v)
	require.NoError(t, err)
	return &d
}

// unknown is a value that only an apply will tell.
type unknown struct{}

// valueOf makes a value of a type; what an object leaves out is null.
func valueOf(t *testing.T, typ tftypes.Type, v any) tftypes.Value {
	t.Helper()
	switch v := v.(type) {
	case nil:
		return tftypes.NewValue(typ, nil)
	case unknown:
		return tftypes.NewValue(typ, tftypes.UnknownValue)
	case int:
		return tftypes.NewValue(typ, big.NewFloat(float64(v)))
	case float64:
		return tftypes.NewValue(typ, big.NewFloat(v))
	case []any:
		list := []tftypes.Value{}
		for _, item := range v {
			list = append(list, valueOf(t, typ.(tftypes.List).ElementType, item))
		}
		return tftypes.NewValue(typ, list)
	case map[string]any:
		fields := map[string]tftypes.Value{}
		if m, ok := typ.(tftypes.Map); ok {
			for name, item := range v {
				fields[name] = valueOf(t, m.ElementType, item)
			}
			return tftypes.NewValue(typ, fields)
		}
		of := typ.(tftypes.Object).AttributeTypes
		for name := range v {
			require.Contains(t, of, name, "there is no such attribute")
		}
		for name, typ := range of {
			fields[name] = valueOf(t, typ, v[name])
		}
		return tftypes.NewValue(typ, fields)
	}
	return tftypes.NewValue(typ, v)
}

// plain is a value as a test compares it.
func plain(t *testing.T, v tftypes.Value) any {
	t.Helper()
	switch {
	case v.IsNull():
		return nil
	case !v.IsKnown():
		return unknown{}
	case v.Type().Is(tftypes.String):
		return taken[string](t, v)
	case v.Type().Is(tftypes.Bool):
		return taken[bool](t, v)
	case v.Type().Is(tftypes.Number):
		n := taken[big.Float](t, v)
		f, _ := n.Float64()
		return f
	case v.Type().Is(tftypes.List{}):
		list := []any{}
		for _, item := range taken[[]tftypes.Value](t, v) {
			list = append(list, plain(t, item))
		}
		return list
	}
	fields := map[string]any{} // an object, or a map
	for name, item := range taken[map[string]tftypes.Value](t, v) {
		fields[name] = plain(t, item)
	}
	return fields
}

func taken[T any](t *testing.T, v tftypes.Value) (out T) {
	t.Helper()
	require.NoError(t, v.As(&out))
	return out
}

func fieldsOf(t *testing.T, v tftypes.Value) map[string]tftypes.Value {
	t.Helper()
	return taken[map[string]tftypes.Value](t, v)
}

// lines joins what was said for a look at all of it.
func lines(said []string) string { return strings.Join(said, "\n") }
