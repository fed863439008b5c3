package trace

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/trace/tracetest"
	"ci/pkg/ci"
)

func TestDestination(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		endpoint string
		env      []string
		want     string // "" is nowhere
		grpc     bool
		fails    string
	}{
		"nothing said":            {},
		"off":                     {endpoint: "off", env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318"}},
		"HTTP":                    {endpoint: "http://c:4318", want: "http://c:4318/v1/traces"},
		"a path":                  {endpoint: "https://c/otlp", want: "https://c/otlp"},
		"gRPC":                    {endpoint: "grpc://c:4317", want: "grpc://c:4317", grpc: true},
		"gRPC with TLS":           {endpoint: "grpcs://c:4317", want: "grpcs://c:4317", grpc: true},
		"a password":              {endpoint: "http://me:secret@c:4318", want: "http://me:xxxxx@c:4318/v1/traces"},
		"another scheme":          {endpoint: "ftp://c", fails: "ftp://c"},
		"no host":                 {endpoint: "c:4318", fails: "http://HOST:4318"},
		"the environment":         {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318"}, want: "http://c:4318"},
		"for traces alone":        {env: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t:1/x", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318"}, want: "http://t:1/x"},
		"gRPC by environment":     {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, want: "http://c:4317", grpc: true},
		"disabled":                {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "OTEL_SDK_DISABLED=true"}},
		"no exporter":             {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "OTEL_TRACES_EXPORTER=none"}},
		"an exporter not ours":    {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "OTEL_TRACES_EXPORTER=zipkin"}, fails: "zipkin"},
		"a protocol not ours":     {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL=kafka"}, fails: "kafka"},
		"an endpoint that's none": {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=collector"}, fails: "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"the setting wins":        {endpoint: "http://ours:1", env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "OTEL_SDK_DISABLED=true"}, want: "http://ours:1/v1/traces"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := Config{Endpoint: c.endpoint, Getenv: env(c.env...)}
			d, err := config.destination()
			if c.fails != "" {
				require.ErrorContains(t, err, c.fails)
				require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
				return
			}
			require.NoError(t, err)
			require.NoError(t, CheckEndpoint(c.endpoint))
			if c.want == "" {
				require.Nil(t, d)
				return
			}
			require.Equal(t, c.want, d.String())
			require.Equal(t, c.grpc, d.grpc)
		})
	}
}

// TestEnvironment goes by the variables alone, with those that the library reads by itself.
func TestEnvironment(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			c := tracetest.Start(t)
			endpoint := c.HTTP
			if protocol == "grpc" {
				endpoint = "http://" + c.GRPC
			}
			vars := map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
				"OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=blue", "OTEL_SERVICE_NAME": "my-ci",
			}
			for name, value := range vars {
				t.Setenv(name, value)
			}
			tr, err := Open(t.Context(), Config{Getenv: func(name string) string { return vars[name] }, Program: "cid", Log: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			place := tr.Begin(t.Context(), "a")
			require.NoError(t, tr.Close(), "the end of the process sends what is left")
			require.Equal(t, "my-ci", c.Named(t, place.ID, "TRIGGER a").Service)
			require.Equal(t, "blue", c.Headers()[0].Get("x-tenant"))
		})
	}
}
