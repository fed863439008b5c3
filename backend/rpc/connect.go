package rpc

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"ci/backend/rpc/wirejson"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1/civ1connect"
	"ci/pkg/ci"
)

// MaxBody is the longest request that is read, in bytes, after decompression.
const MaxBody = 4 << 20

// Mount calls handle with the path ("/ci.v1.RunService/") and the handler of every
// service. requestID finds the id of a request for its errors.
func (s *Services) Mount(handle func(path string, h http.Handler), requestID func(context.Context) string) {
	opts := []connect.HandlerOption{
		connect.WithReadMaxBytes(MaxBody),
		connect.WithInterceptors(&guard{s, requestID}),
	}
	for _, c := range wirejson.Codecs() {
		opts = append(opts, connect.WithCodec(c))
	}
	handle(civ1connect.NewJobServiceHandler(s, opts...))
	handle(civ1connect.NewRunServiceHandler(s, opts...))
	handle(civ1connect.NewAgentServiceHandler(s, opts...))
	handle(civ1connect.NewConfigServiceHandler(s, opts...))
	handle(civ1connect.NewTokenServiceHandler(s, opts...))
	handle(civ1connect.NewSecretServiceHandler(s, opts...))
	handle(civ1connect.NewSSHKeyServiceHandler(s, opts...))
	handle(civ1connect.NewEventServiceHandler(s, opts...))
	handle(civ1connect.NewWorkServiceHandler(s, opts...))
	handle(civ1connect.NewForgeServiceHandler(s, opts...))
	handle(civ1connect.NewRetentionServiceHandler(s, opts...))
}

// guard checks rights and turns errors into Connect's. It does for Connect
// what backend/rest does around Method.Call.
type guard struct {
	*Services
	requestID func(context.Context) string
}

// WrapUnary guards a method.
func (g *guard) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		m := g.methods[req.Spec().Procedure]
		msg, ok := req.Any().(proto.Message)
		if m == nil || !ok {
			return nil, connect.NewError(connect.CodeUnimplemented, nil)
		}
		if err := m.Authorize(ctx, msg); err != nil {
			return nil, g.fail(ctx, m.Procedure, err)
		}
		resp, err := next(ctx, req)
		if err != nil {
			return nil, g.fail(ctx, m.Procedure, err)
		}
		return resp, nil
	}
}

// WrapStreamingClient does nothing: this is a server.
func (g *guard) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler turns errors into Connect's. Streams check rights themselves, once
// they have read their request.
func (g *guard) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := next(ctx, conn); err != nil {
			return g.fail(ctx, conn.Spec().Procedure, err)
		}
		return nil
	}
}

func (g *guard) fail(ctx context.Context, procedure string, err error) error {
	if ctx.Err() == nil && ci.CodeOf(convert.Public(err)) == ci.CodeInternal {
		g.Log.Error("request failed", "procedure", procedure, "request", g.requestID(ctx), "err", err)
	}
	return convert.ToConnect(err, g.requestID(ctx))
}
