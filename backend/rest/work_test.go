package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/api/gen/ci/v1/civ1connect"
	"ci/pkg/ci"
)

const someClaim = "0193c0de-0000-7000-8000-000000000001"

// work is the client of an agent's token.
func (s *site) work(t *testing.T, agent string) civ1connect.WorkServiceClient {
	t.Helper()
	token := s.mint(ci.Token{Name: "of-" + agent, Role: ci.RoleAgent, Agent: agent})
	return civ1connect.NewWorkServiceClient(&http.Client{Transport: bearer{token, http.DefaultTransport}}, s.server.URL)
}

// TestForeignRuns: S23. To an agent the runs of others are not there, whatever
// claim it makes up, and no call says whose it speaks for but its token.
func TestForeignRuns(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	run, _, err := s.Trigger(t.Context(), ci.Trigger{Job: "mine"})
	require.NoError(t, err)
	s.change(run.ID, func(r *ci.Run) { r.Phase, r.Agent, r.Claim = ci.PhaseRunning, "a", someClaim })
	before, err := s.GetRun(t.Context(), "mine", run.ID)
	require.NoError(t, err)
	claim := &civ1.Claim{Run: uint32(run.ID), Id: someClaim}
	b := s.work(t, "b")
	calls := map[string]func(context.Context, civ1connect.WorkServiceClient) error{
		"start": func(ctx context.Context, w civ1connect.WorkServiceClient) error {
			_, err := w.StartRun(ctx, &civ1.StartRunRequest{Claim: claim})
			return err
		},
		"collect": func(ctx context.Context, w civ1connect.WorkServiceClient) error {
			_, err := w.CollectRun(ctx, &civ1.CollectRunRequest{Claim: claim})
			return err
		},
		"console": func(ctx context.Context, w civ1connect.WorkServiceClient) error {
			_, err := w.AppendConsole(ctx, &civ1.AppendConsoleRequest{Claim: claim, Data: []byte("x")})
			return err
		},
		"finish": func(ctx context.Context, w civ1connect.WorkServiceClient) error {
			_, err := w.FinishRun(ctx, &civ1.FinishRunRequest{Claim: claim, End: &civ1.End{Outcome: "succeeded"}})
			return err
		},
		"upload": func(ctx context.Context, w civ1connect.WorkServiceClient) error {
			return uploadOnce(ctx, w, claim, "stolen", "x", sumOf("x"))
		},
	}
	for name, call := range calls {
		require.Equal(t, connect.CodeNotFound, connect.CodeOf(call(t.Context(), b)), name)
	}
	after, err := s.GetRun(t.Context(), "mine", run.ID)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Empty(t, s.results[run.ID])

	admin := civ1connect.NewWorkServiceClient(&http.Client{Transport: bearer{s.bearer[ci.RoleAdmin], http.DefaultTransport}}, s.server.URL)
	for name, call := range calls {
		require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(call(t.Context(), admin)), "%s: an administrator is no agent", name)
	}
	_, err = b.Heartbeat(t.Context(), &civ1.HeartbeatRequest{Agent: &civ1.Agent{Id: "a", Problem: "forged"}})
	require.NoError(t, err)
	require.Empty(t, s.agents["a"].Problem, "it speaks for itself alone")
	require.Equal(t, "forged", s.agents["b"].Problem)
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// uploadOnce uploads text in two pieces; sum "" leaves it out.
func uploadOnce(ctx context.Context, w civ1connect.WorkServiceClient, claim *civ1.Claim, name, text, sum string) error {
	stream, err := w.UploadResult(ctx)
	if err != nil {
		return err
	}
	half := len(text) / 2
	for _, m := range []*civ1.UploadResultRequest{
		{Claim: claim, Result: convert.ToResult("", &ci.Result{Name: name, Filename: name, ContentType: "text/plain"})},
		{Data: []byte(text[:half])},
		{Data: []byte(text[half:]), Sha256: sum},
	} {
		if stream.Send(m) != nil {
			break // the answer says why
		}
	}
	_, err = stream.CloseAndReceive()
	return err
}

// TestUpload: a result is stored whole, by its sum, or not at all.
func TestUpload(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	s.change(1, func(r *ci.Run) { r.Agent = "a" })
	s.mu.Lock()
	s.config.MaxResult = 1 << 20
	s.mu.Unlock()
	w, claim := s.work(t, "a"), &civ1.Claim{Run: 1, Id: someClaim}
	big := string(bytes.Repeat([]byte("0123456789abcdef"), 1<<16))
	for _, c := range []struct {
		name, text, sum string
		want            connect.Code
	}{
		{"without-sum", "text", "", connect.CodeInvalidArgument},
		{"wrong-sum", "text", sumOf("other"), connect.CodeInvalidArgument},
		{"over-the-limit", big + "x", sumOf(big + "x"), connect.CodeOutOfRange},
	} {
		require.Equal(t, c.want, connect.CodeOf(uploadOnce(t.Context(), w, claim, c.name, c.text, c.sum)), c.name)
	}
	require.Len(t, s.results[1], 1, "what was there before")
	for _, text := range []string{"", "text", big} {
		require.NoError(t, uploadOnce(t.Context(), w, claim, "good", text, sumOf(text)))
		require.Equal(t, text, string(s.blobs["runs/1/results/good"]))
	}
}
