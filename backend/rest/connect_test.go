package rest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/api/gen/ci/v1/civ1connect"
	"ci/pkg/ci"
)

// bearer adds a token to every request.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// TestProtocols calls a method and a stream over each of the wire's protocols.
func TestProtocols(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	secure := httptest.NewUnstartedServer(s.server.Config.Handler)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	h := &http.Client{Transport: bearer{s.bearer[ci.RoleRead], secure.Client().Transport}}
	for name, opts := range map[string][]connect.ClientOption{
		"connect":      nil,
		"connect JSON": {connect.WithProtoJSON()},
		"gRPC":         {connect.WithGRPC()},
		"gRPC-Web":     {connect.WithGRPCWeb()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runs := civ1connect.NewRunServiceClient(h, secure.URL, opts...)
			run, err := runs.GetRun(t.Context(), &civ1.GetRunRequest{Name: "mine", Id: 1})
			require.NoError(t, err)
			require.Equal(t, "succeeded", run.GetOutcome())
			_, err = runs.GetRun(t.Context(), &civ1.GetRunRequest{Name: "mine", Id: 99})
			require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
			_, err = runs.TriggerRun(t.Context(), &civ1.TriggerRunRequest{Name: "mine"})
			require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err))

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			events := civ1connect.NewEventServiceClient(h, secure.URL, opts...)
			after := 1.0
			stream, err := events.WatchEvents(ctx, &civ1.WatchEventsRequest{After: &after})
			require.NoError(t, err)
			for _, want := range []float64{2, 3, 4} {
				require.True(t, stream.Receive(), "%v", stream.Err())
				require.Equal(t, want, stream.Msg().GetSeq())
			}
			cancel()
			require.False(t, stream.Receive())
		})
	}
}
