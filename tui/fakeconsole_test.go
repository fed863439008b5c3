package tui

import (
	"bytes"
	"context"
	"io"
	"time"

	"ci/pkg/ci"
)

// ConsoleTimes has a part of every 40 bytes, a second each.
func (f *fakeClient) ConsoleTimes(_ context.Context, _ string, _, from int64) (ci.ConsoleTimes, error) {
	if f.err != nil {
		return nil, f.err
	}
	var out ci.ConsoleTimes
	for at := from; at < int64(len(f.console)); at += 40 {
		out = append(out, ci.ConsoleTime{Offset: at, Length: min(40, int64(len(f.console))-at), At: noon.Add(time.Duration(at/40) * time.Second)})
	}
	return out, nil
}

func (f *fakeClient) Console(_ context.Context, _ string, _, from int64, _ bool) (io.ReadCloser, error) {
	if f.err != nil {
		return nil, f.err
	}
	return io.NopCloser(bytes.NewReader([]byte(f.console)[min(from, int64(len(f.console))):])), nil
}
