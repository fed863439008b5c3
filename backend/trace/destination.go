package trace

import (
	"context"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"ci/pkg/ci"
)

// Off is the endpoint that sends nothing, whatever the environment says.
const Off = "off"

// The variables of OpenTelemetry that say whether and how spans are sent; see
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/.
const (
	disabledVariable = "OTEL_SDK_DISABLED"
	exporterVariable = "OTEL_TRACES_EXPORTER"
)

var (
	endpointVariables = []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"}
	protocolVariables = []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"}
)

// retries bound how long one batch is tried; the next ones wait meanwhile, or are dropped.
const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Second
	retryFor   = 20 * time.Second
)

// destination is a collector.
type destination struct {
	grpc bool
	// url is where it is by our own setting; nil leaves it to the variables, of which one says shown.
	url   *url.URL
	shown string
}

// String is for logs.
func (d *destination) String() string {
	if d.url != nil {
		return d.url.Redacted()
	}
	return d.shown
}

// CheckEndpoint refuses a setting that can't be an endpoint.
func CheckEndpoint(endpoint string) error {
	if endpoint == "" || endpoint == Off {
		return nil
	}
	_, err := named(endpoint)
	return err
}

// destination is nil when nothing is to be sent.
func (c *Config) destination() (*destination, error) {
	switch {
	case c.Endpoint == Off:
		return nil, nil
	case c.Endpoint != "":
		return named(c.Endpoint)
	case strings.EqualFold(c.Getenv(disabledVariable), "true"):
		return nil, nil
	}
	variable, endpoint := c.firstOf(endpointVariables)
	if endpoint == "" {
		return nil, nil
	}
	switch exporter := c.Getenv(exporterVariable); exporter {
	case "", "otlp":
	case "none":
		return nil, nil
	default:
		return nil, ci.Errorf(ci.CodeInvalid, "%s is %q; otlp is what we have, and none sends nothing", exporterVariable, exporter)
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, ci.Errorf(ci.CodeInvalid, "%s is %q, not the URL of a collector; an example is http://localhost:4318", variable, endpoint)
	}
	d := &destination{shown: u.Redacted()}
	switch variable, protocol := c.firstOf(protocolVariables); protocol {
	case "", "http/protobuf", "http/json":
	case "grpc":
		d.grpc = true
	default:
		return nil, ci.Errorf(ci.CodeInvalid, "%s is %q; it is grpc, http/protobuf or http/json", variable, protocol)
	}
	return d, nil
}

func (c *Config) firstOf(variables []string) (name, value string) {
	for _, name := range variables {
		if value := c.Getenv(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

// named reads our own setting, whose scheme says the protocol.
func named(endpoint string) (*destination, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return nil, unusable(endpoint)
	}
	switch u.Scheme {
	case "http", "https":
		if u.Path == "" || u.Path == "/" {
			u.Path = "/v1/traces"
		}
		return &destination{url: u}, nil
	case "grpc", "grpcs":
		return &destination{url: u, grpc: true}, nil
	}
	return nil, unusable(endpoint)
}

func unusable(endpoint string) error {
	return ci.Errorf(ci.CodeInvalid, "%q is not where a collector can be; it is http://HOST:4318, https://…, grpc://HOST:4317, grpcs://… or off", endpoint)
}

func (d *destination) exporter(ctx context.Context) (sdk.SpanExporter, error) {
	if d.grpc {
		options := []otlptracegrpc.Option{otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
			Enabled: true, InitialInterval: firstRetry, MaxInterval: lastRetry, MaxElapsedTime: retryFor,
		})}
		if d.url != nil {
			at := *d.url
			at.Scheme = strings.Replace(at.Scheme, "grpc", "http", 1)
			options = append(options, otlptracegrpc.WithEndpointURL(at.String()))
		}
		return otlptracegrpc.New(ctx, options...)
	}
	options := []otlptracehttp.Option{otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
		Enabled: true, InitialInterval: firstRetry, MaxInterval: lastRetry, MaxElapsedTime: retryFor,
	})}
	if d.url != nil {
		options = append(options, otlptracehttp.WithEndpointURL(d.url.String()))
	}
	return otlptracehttp.New(ctx, options...)
}

// resource says who sends. What the environment says of it wins.
func (c *Config) resource(ctx context.Context) (*resource.Resource, error) {
	return resource.New(ctx,
		resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName(c.Program), semconv.ServiceVersion(c.Version)),
		resource.WithFromEnv())
}
