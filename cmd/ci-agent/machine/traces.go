package machine

import (
	"context"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"ci/backend/trace"
)

// TracesHelp is the help of --traces.
const TracesHelp = "collector that spans of requests and runs are sent to by OTLP: http://HOST:4318, https://…, grpc://HOST:4317 or grpcs://…; off sends none (default: what OTEL_EXPORTER_OTLP_ENDPOINT says, else none)"

// OpenTraces begins to send spans as --traces says; reg nil counts none.
func OpenTraces(ctx context.Context, endpoint, program string, log *slog.Logger, reg prometheus.Registerer) (*trace.Tracer, error) {
	return trace.Open(ctx, trace.Config{Endpoint: endpoint, Getenv: os.Getenv, Program: program, Version: Version, Log: log, Metrics: reg})
}
