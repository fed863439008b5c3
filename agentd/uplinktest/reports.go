package uplinktest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func reports(k *kit) {
	ctx, code := k.t.Context(), 3
	c, _ := k.claimed()
	k.lost(k.Collecting(ctx, c, &code), "collecting before the script began")
	require.Equal(k.t, ci.PhasePreparing, k.run(c.Run).Phase)
	for range 2 { // the first answer may have got lost
		require.NoError(k.t, k.Started(ctx, c))
		require.Equal(k.t, ci.PhaseRunning, k.run(c.Run).Phase)
	}
	began := k.run(c.Run).Times.Started
	for range 2 {
		require.NoError(k.t, k.Collecting(ctx, c, &code))
		require.Equal(k.t, ci.PhaseCollecting, k.run(c.Run).Phase)
	}
	k.lost(k.Started(ctx, c), "the script has ended")
	r := k.run(c.Run)
	require.Equal(k.t, []any{3, began, true}, []any{*r.ExitCode, r.Times.Started, r.ScriptStarted})

	killed := k.started()
	require.NoError(k.t, k.Collecting(ctx, killed, nil))
	require.Nil(k.t, k.run(killed.Run).ExitCode)
}

func console(k *kit) {
	ctx := k.t.Context()
	c := k.started()
	require.EqualValues(k.t, 5, k.append(c, 0, "one\nt"))
	require.EqualValues(k.t, 5, k.append(c, 0, "one\nt"), "said again")
	require.EqualValues(k.t, 8, k.append(c, 5, "wo\n"))
	require.EqualValues(k.t, 8, k.append(c, 4, "two\n"), "what is there stays")
	require.EqualValues(k.t, 14, k.append(c, 4, "two\nthree\n"), "the part that is new")
	_, err := k.AppendConsole(ctx, c, 15, []byte("gap"))
	k.lost(err, "a gap")
	_, err = k.AppendConsole(ctx, c, -1, []byte("x"))
	require.Equal(k.t, ci.CodeInvalid, ci.CodeOf(err))
	require.Equal(k.t, "one\ntwo\nthree\n", k.printed(c.Run))

	// All that a job can print, in the largest pieces that the runner sends, some of them twice.
	text := []byte("one\ntwo\nthree\n")
	for range 3 {
		piece := make([]byte, 1<<20)
		for i := range piece {
			piece[i] = byte(rand.N(256))
		}
		at := int64(len(text))
		text = append(text, piece...)
		for range 1 + rand.N(2) {
			for sent := at; sent < int64(len(text)); {
				next, err := k.AppendConsole(ctx, c, sent, text[sent:])
				require.NoError(k.t, err)
				require.Greater(k.t, next, sent)
				sent = next
			}
		}
	}
	require.NoError(k.t, k.Finish(ctx, c, end(ci.OutcomeAborted, string(text))))
	require.True(k.t, bytes.Equal(text, []byte(k.printed(c.Run))))
}

func results(k *kit) {
	ctx := k.t.Context()
	c := k.started()
	res := ci.Result{Run: c.Run, Name: "out", ContentType: "text/plain", Filename: "out.txt", Files: 1}
	big := strings.Repeat("0123456789abcdef", 200_000)
	for _, text := range []string{"", "small", big, "small again"} {
		stored, err := k.PutResult(ctx, c, res, iotest.HalfReader(strings.NewReader(text)))
		require.NoError(k.t, err)
		want := end("", text).Console
		require.Equal(k.t, []any{want.Bytes, want.SHA256}, []any{stored.Size, stored.SHA256})
		k.requireResult(c.Run, "out", text)
	}
	broken := io.MultiReader(strings.NewReader(big), iotest.ErrReader(errors.New("the disk is gone")))
	_, err := k.PutResult(ctx, c, res, broken)
	require.Error(k.t, err)
	k.requireResult(c.Run, "out", "small again")
	bad := res
	bad.Name = "../out"
	_, err = k.PutResult(ctx, c, bad, strings.NewReader("x"))
	require.Equal(k.t, ci.CodeInvalid, ci.CodeOf(err), "%v", err)
}

// requireResult reads a result as everybody does.
func (k *kit) requireResult(run int64, name, text string) {
	k.t.Helper()
	body, _, _, _, err := k.Admin.OpenResult(k.t.Context(), k.job, run, name)
	require.NoError(k.t, err)
	got, err := io.ReadAll(body)
	require.NoError(k.t, err)
	require.NoError(k.t, body.Close())
	require.True(k.t, text == string(got), "%d bytes, and not the %d that were stored", len(got), len(text))
}

func finishOnce(k *kit) {
	ctx, code := k.t.Context(), 4
	c := k.started()
	k.append(c, 0, "bye\n")
	e := end(ci.OutcomeFailed, "bye\n")
	e.ExitCode, e.ScriptStarted, e.Console.Truncated = &code, true, true
	e.Steps = []ci.Step{{Name: "checkout", Began: time.Unix(1_700_000_000, 0).UTC(), Took: ci.Duration(time.Second), Detail: "so"}}
	e.Images = []ci.RunImage{{For: "environment", Reference: "debian:12", Digest: "sha256:1"}}
	require.NoError(k.t, k.Collecting(ctx, c, &code))
	short := e
	short.Console.Bytes--
	require.Equal(k.t, ci.CodeInvalid, ci.CodeOf(k.Finish(ctx, c, short)), "a console that has not arrived")
	require.False(k.t, k.run(c.Run).Done())
	for range 2 { // the first answer may have got lost
		require.NoError(k.t, k.Finish(ctx, c, e))
	}
	other := e
	other.Outcome = ci.OutcomeAborted
	k.lost(k.Finish(ctx, c, other), "another outcome")
	r := k.run(c.Run)
	require.Equal(k.t, ci.End{
		Outcome: r.Outcome, Reason: r.Reason, ExitCode: r.ExitCode, ScriptStarted: r.ScriptStarted, Console: r.Console, Steps: r.Steps, Images: r.Images,
	}, e)
	k.refused(k.Side, c)
	require.Equal(k.t, r, k.run(c.Run))
}

func abort(k *kit) {
	heard := make(chan string, 10)
	cancel, err := k.Subscribe("abort."+k.agent, func(topic string, data []byte) { heard <- topic + " " + string(data) })
	require.NoError(k.t, err)
	defer cancel()
	hear := func(run int64) {
		k.t.Helper()
		want := "abort." + k.agent + " " + strconv.FormatInt(run, 10)
		for over := time.After(patience); ; {
			select {
			case got := <-heard:
				if got == want {
					return
				}
			case <-over:
				require.Fail(k.t, "nothing was heard of the abort")
			}
		}
	}
	for range 2 {
		c := k.started()
		_, err := k.Admin.Abort(k.t.Context(), k.job, c.Run)
		require.NoError(k.t, err)
		hear(c.Run)
		require.NoError(k.t, k.Finish(k.t.Context(), c, end(ci.OutcomeAborted, "")))
	}
}

func heartbeat(k *kit) {
	ctx := k.t.Context()
	a := ci.Agent{
		ID: k.agent, Version: "1", CPUs: 4, Memory: 8 << 30, FreeCPUs: 2, FreeMemory: 4 << 30, CPULoad: 0.5, Runs: []int64{7},
		Refusals: map[string]string{"large": "no room"}, Leftovers: 1, Warnings: []string{"no wall"},
	}
	order, err := k.Heartbeat(ctx, a)
	require.NoError(k.t, err)
	require.Nil(k.t, order)
	agents, err := k.Admin.ListAgents(ctx)
	require.NoError(k.t, err)
	found := false
	for _, seen := range agents {
		if seen.ID == k.agent {
			found = true
			require.False(k.t, seen.SeenAt.IsZero())
			seen.SeenAt = time.Time{}
			require.Equal(k.t, a, seen)
		}
	}
	require.True(k.t, found)

	orders := make(chan struct{}, 100)
	deaf, err := k.Subscribe("agents", func(string, []byte) { orders <- struct{}{} })
	require.NoError(k.t, err)
	defer deaf()
	deadline := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	k.eventually(func() error { // an order that nobody listens to yet is not heard
		if _, err := k.Admin.Drain(ctx, k.agent, ci.Drain{Reason: "new disks", Deadline: deadline}); err != nil {
			return err
		}
		select {
		case <-orders:
			return nil
		case <-time.After(time.Second):
			return errors.New("nothing was heard of the order")
		}
	})
	order, err = k.Heartbeat(ctx, a)
	require.NoError(k.t, err)
	require.NotNil(k.t, order)
	refused := k.newClaim(k.trigger().ID)
	_, err = k.Claim(ctx, refused)
	require.Equal(k.t, ci.CodeForbidden, ci.CodeOf(err), "who is to drain gets nothing: %v", err)
	require.Equal(k.t, ci.PhaseQueued, k.run(refused.Run).Phase)
	require.Equal(k.t, []any{"new disks", deadline, false}, []any{order.Reason, order.Deadline, order.Since.IsZero()})
	require.NoError(k.t, k.Admin.Undrain(ctx, k.agent))
	order, err = k.Heartbeat(ctx, a)
	require.NoError(k.t, err)
	require.Nil(k.t, order, fmt.Sprint(order))
}
