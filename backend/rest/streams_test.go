package rest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

const consolePath = "/jobs/mine/runs/1/results/console"

// TestConsoleDone reads a sealed console in every way.
func TestConsoleDone(t *testing.T) {
	t.Parallel()
	s := stocked(t) // "hello\nworld\n"
	whole := s.do("GET", consolePath, "")
	require.Equal(t, "hello\nworld\n", whole.body)
	for name, want := range map[string]string{
		"Content-Type": "text/plain; charset=utf-8", "X-Console-Sealed": "true", "Cache-Control": immutable, "Content-Length": "12",
		"X-Content-Type-Options": "nosniff", "Accept-Ranges": "bytes",
	} {
		require.Equal(t, want, whole.header.Get(name), name)
	}
	etag := whole.header.Get("ETag")
	require.Regexp(t, `^"[0-9a-f]{64}"$`, etag)
	require.Equal(t, 304, s.do("GET", consolePath, "", "If-None-Match: "+etag).status)
	for _, c := range []struct {
		headers    string
		query      string
		status     int
		body, span string
	}{
		{"Range: bytes=0-4", "", 206, "hello", "bytes 0-4/12"},
		{"Range: bytes=6-", "", 206, "world\n", "bytes 6-11/12"},
		{"Range: bytes=-3", "", 206, "ld\n", "bytes 9-11/12"},
		{"Range: bytes=-100", "", 206, "hello\nworld\n", "bytes 0-11/12"},
		{"Range: bytes=11-9999", "", 206, "\n", "bytes 11-11/12"},
		{"Range: items=0-1", "", 200, "hello\nworld\n", ""},
		{"Range: bytes=12-", "", 416, "", "bytes */12"},
		{"Range: bytes=-0", "", 416, "", "bytes */12"},
		{"Range: bytes=4-2", "", 416, "", "bytes */12"},
		{"Range: bytes=0-1,3-4", "", 416, "", "bytes */12"},
		{"Range: bytes=a-b", "", 416, "", "bytes */12"},
		{"Range: bytes=99999999999999999999-", "", 416, "", "bytes */12"},
		{"", "?offset=6", 200, "world\n", ""},
		{"", "?offset=12", 200, "", ""},
		{"", "?offset=13", 416, "", "bytes */12"},
		{"", "?offset=-1", 400, "", ""},
		{"", "?offset=1&offset=2", 400, "", ""},
		{"", "?follow=yes", 400, "", ""},
		{"", "?follow=1&offset=6", 200, "world\n", ""},
		{"Range: bytes=0-1", "?follow=1", 400, "", ""},
	} {
		var headers []string
		if c.headers != "" {
			headers = append(headers, c.headers)
		}
		got := s.do("GET", consolePath+c.query, "", headers...)
		require.Equal(t, c.status, got.status, "%s %s: %s", c.headers, c.query, got.body)
		require.Equal(t, c.span, got.header.Get("Content-Range"), "%s %s", c.headers, c.query)
		if c.status < 300 {
			require.Equal(t, c.body, got.body)
		} else {
			require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
		}
	}
	require.Equal(t, 206, s.do("GET", consolePath, "", "Range: bytes=0-0", "If-Range: "+etag).status)
	require.Equal(t, 200, s.do("GET", consolePath, "", "Range: bytes=0-0", `If-Range: "old"`).status)
}

// running adds run 3, in progress, of job mine.
func running(t *testing.T, change ...func(*Config)) *site {
	t.Helper()
	s := stocked(t, change...)
	_, _, err := s.Trigger(t.Context(), ci.Trigger{Job: "mine"})
	require.NoError(t, err)
	return s
}

func TestConsoleTimes(t *testing.T) {
	t.Parallel()
	s := running(t)
	s.say(3, strings.Repeat("x", 4*(timesPage+1)))
	lines := func(query string) []string {
		got := s.do("GET", livePath+"/times"+query, "")
		require.Equal(t, 200, got.status, got.body)
		require.Equal(t, "application/x-ndjson", got.header.Get("Content-Type"))
		return strings.Split(strings.TrimSuffix(got.body, "\n"), "\n")
	}
	all := lines("")
	require.GreaterOrEqual(t, len(all), timesPage+1, "more than a page")
	require.Equal(t, `{"offset":0,"length":4,"at":"2026-03-01T12:00:00Z"}`, all[0])
	require.Equal(t, all[2:], lines("?offset=9"))
	require.Equal(t, "no-store", s.do("GET", livePath+"/times", "").header.Get("Cache-Control"))
	require.Contains(t, s.do("GET", consolePath+"/times", "").header.Get("Cache-Control"), "immutable")
	require.Equal(t, 400, s.do("GET", livePath+"/times?offset=-1", "").status)
	require.Equal(t, 404, s.do("GET", "/jobs/mine/runs/999/results/console/times", "").status)

	times, err := s.client(ci.RoleRead).ConsoleTimes(t.Context(), "mine", 3, 9)
	require.NoError(t, err)
	require.Len(t, times, len(all)-2)
	require.Equal(t, int64(8), times[0].Offset)
}

const livePath = "/jobs/mine/runs/3/results/console"

func TestConsoleLive(t *testing.T) {
	t.Parallel()
	consoleLive(t, running(t))
}

// While the bus is away a console is followed all the same.
func TestConsoleLiveWithoutBus(t *testing.T) {
	t.Parallel()
	s := running(t)
	s.deaf = true
	consoleLive(t, s)
}

func consoleLive(t *testing.T, s *site) {
	s.say(3, "one\n")
	now := s.do("GET", livePath, "")
	require.Equal(t, "one\n", now.body)
	require.Equal(t, []string{"false", "no-store", ""}, []string{now.header.Get("X-Console-Sealed"), now.header.Get("Cache-Control"), now.header.Get("ETag")})
	require.Equal(t, "bytes 1-2/4", s.do("GET", livePath, "", "Range: bytes=1-2").header.Get("Content-Range"))

	resp, err := s.server.Client().Do(s.request("GET", livePath+"?follow=1", ""))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "no", resp.Header.Get("X-Accel-Buffering"))
	lines := bufio.NewReader(resp.Body)
	for i, text := range []string{"one\n", "two\n", "three\n"} {
		if i > 0 {
			s.say(3, text)
		}
		got, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, text, got)
	}
	s.say(3, "no line end")
	s.finish(3)
	rest, err := io.ReadAll(lines)
	require.NoError(t, err)
	require.Equal(t, "no line end", string(rest))
}

// While the bus is away events come all the same.
func TestEventsWithoutBus(t *testing.T) {
	t.Parallel()
	s := running(t)
	s.deaf = true
	resp, err := s.server.Client().Do(s.request("GET", "/events", ""))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
	s.finish(3)
	readEvents(t, resp.Body, func(e sseEvent) bool { return strings.Contains(e.data, `"type":"run.done"`) })
}

// sseEvent is one event as a browser would see it.
type sseEvent struct {
	name, id, data string
}

func readEvents(t *testing.T, r io.Reader, until func(sseEvent) bool) []sseEvent {
	t.Helper()
	var out []sseEvent
	var e sseEvent
	var data []string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			data = append(data, value)
		case "":
			if data == nil {
				continue // a comment
			}
			e.data = strings.Join(data, "\n")
			out = append(out, e)
			if until(e) {
				return out
			}
			e, data = sseEvent{}, nil
		}
	}
	return out
}

func TestConsoleEvents(t *testing.T) {
	t.Parallel()
	s := running(t)
	s.say(3, "one\r\ntwo\n10%\r20%\rdata: evil\n\nevent: end\nhalf")
	resp, err := s.server.Client().Do(s.request("GET", livePath, "", "Accept: text/event-stream"))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	events := readEvents(t, resp.Body, func(e sseEvent) bool { return e.name == "partial" })
	require.Equal(t, []sseEvent{
		{"", "40", "one\ntwo\n10%\n20%\ndata: evil\n\nevent: end"},
		{"partial", "44", "half"},
	}, events)
	s.say(3, " and whole\nend")
	s.finish(3)
	rest := readEvents(t, resp.Body, func(sseEvent) bool { return false })
	require.Equal(t, sseEvent{"", "55", " and whole"}, rest[0])
	require.Equal(t, sseEvent{"partial", "58", "end"}, rest[1])
	require.Equal(t, "end", rest[2].name)
	require.Contains(t, rest[2].data, `"outcome":"succeeded","bytes":58,"sha256":"`)

	again, err := s.server.Client().Do(s.request("GET", livePath, "", "Accept: text/event-stream", "Last-Event-ID: 55"))
	require.NoError(t, err)
	defer again.Body.Close()
	rest = readEvents(t, again.Body, func(sseEvent) bool { return false })
	require.Equal(t, []string{"partial", "end"}, []string{rest[0].name, rest[1].name})
	require.Equal(t, "end", rest[0].data)
	require.Equal(t, 400, s.do("GET", livePath, "", "Accept: text/event-stream", "Last-Event-ID: x").status)
}

func TestResultBytes(t *testing.T) {
	t.Parallel()
	s := running(t)
	const path = "/jobs/mine/runs/1/results/junit"
	got := s.do("GET", path, "")
	require.Equal(t, "0123456789", got.body)
	for name, want := range map[string]string{
		"Content-Type": "application/zip", "Content-Disposition": `attachment; filename="junit.zip"`, "Cache-Control": immutable,
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'", "Content-Length": "10",
	} {
		require.Equal(t, want, got.header.Get(name), name)
	}
	require.Equal(t, "345", s.do("GET", path, "", "Range: bytes=3-5").body)
	require.Equal(t, 304, s.do("GET", path, "", "If-None-Match: "+got.header.Get("ETag")).status)
	require.Equal(t, 404, s.do("GET", path+"x", "").status)
	require.Equal(t, 400, s.do("GET", path+"?download=1", "").status)

	s.putResult(3, "evil", "a\"b\r\nSet-Cookie: x=1\u2028/../ü%.html", "text/html\r\nX: y", []byte("<script>"))
	evil := s.do("GET", "/jobs/mine/runs/3/results/evil", "")
	require.Equal(t, "application/octet-stream", evil.header.Get("Content-Type"))
	require.Empty(t, evil.header.Get("Set-Cookie"))
	require.Equal(t, "no-store", evil.header.Get("Cache-Control"), "not final before the run is")
	require.Equal(t, `attachment; filename="a_b__Set-Cookie: x=1__..___.html"; filename*=UTF-8''a%22b%0D%0ASet-Cookie%3A%20x%3D1%E2%80%A8%2F..%2F%C3%BC%25.html`,
		evil.header.Get("Content-Disposition"))
	list := s.do("GET", "/jobs/mine/runs/3/results", "")
	require.Contains(t, list.body, `"final":false`)
	require.Equal(t, "no-store", list.header.Get("Cache-Control"))
	require.Equal(t, immutable, s.do("GET", "/jobs/mine/runs/1/results", "").header.Get("Cache-Control"))
	require.Equal(t, `{"results":["evil","junit"]}`, s.do("GET", "/jobs/mine/results", "").body)
	s.mu.Lock()
	clear(s.blobs)
	s.mu.Unlock()
	require.Equal(t, 404, s.do("GET", path, "").status, "lost bytes are no empty answer")
}

func TestEventStream(t *testing.T) {
	t.Parallel()
	s := stocked(t) // four events
	resp, err := s.server.Client().Do(s.request("GET", "/events?after=1", "", "Last-Event-ID: 2"))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, []string{"text/event-stream", "no", "2"}, []string{resp.Header.Get("Content-Type"), resp.Header.Get("X-Accel-Buffering"), resp.Header.Get("X-Events-After")})
	events := readEvents(t, resp.Body, func(e sseEvent) bool { return e.id == "4" })
	require.Len(t, events, 2)
	require.Equal(t, "3", events[0].id)
	require.Regexp(t, `^\{"seq":4,"type":"run.done","run":2,"job":"theirs","phase":"collecting","outcome":"succeeded","at":"[^"]+"\}$`, events[1].data)

	limited := "Authorization: Bearer " + s.mint(ci.Token{Name: "lim", Role: ci.RoleRead, Jobs: []string{"mine"}})
	lines, err := s.server.Client().Do(s.request("GET", "/events?after=0", "", "Accept: application/x-ndjson", limited))
	require.NoError(t, err)
	defer lines.Body.Close()
	require.Equal(t, "application/x-ndjson", lines.Header.Get("Content-Type"))
	scan := bufio.NewScanner(lines.Body)
	var seen []string
	for len(seen) < 2 && scan.Scan() {
		if scan.Text() != "" {
			seen = append(seen, scan.Text())
		}
	}
	require.NotContains(t, strings.Join(seen, ""), "theirs")
	require.Equal(t, 403, s.do("GET", "/events", "", s.as(ci.RoleAgent)).status)
	for _, bad := range []string{"-1", "x", "1.5", "99999999999999999999"} {
		require.Equal(t, 400, s.do("GET", "/events?after="+bad, "").status, bad)
	}
}

// TestStalledReaders opens many readers that never read. The one that does is
// served as ever, and the others are dropped.
func TestStalledReaders(t *testing.T) {
	t.Parallel()
	s := running(t, func(c *Config) { c.Stall = 20 * time.Second })
	big := strings.Repeat(strings.Repeat("x", 99)+"\n", 100_000) // 10 MB, more than sockets hold
	for range 100 {
		conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte("GET " + livePath + "?follow=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + s.bearer["read"] + "\r\n\r\n"))
		require.NoError(t, err)
	}
	resp, err := s.server.Client().Do(s.request("GET", livePath+"?follow=1", ""))
	require.NoError(t, err)
	defer resp.Body.Close()
	begun := time.Now()
	s.say(3, big)
	require.Less(t, time.Since(begun), 15*time.Second, "the run does not wait for readers, who have 20 s")
	n, err := io.CopyN(io.Discard, resp.Body, int64(len(big)))
	require.NoError(t, err)
	require.EqualValues(t, len(big), n)
	s.finish(3)
	_, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	held := s.server.Config.Handler.(*server).held
	require.Eventually(t, func() bool { return len(held) == 0 }, 2*time.Minute, 20*time.Millisecond, "stalled readers are dropped")
}

// TestVanishedReader closes its connection; the server must notice without a byte to send.
func TestVanishedReader(t *testing.T) {
	t.Parallel()
	s := running(t)
	held := s.server.Config.Handler.(*server).held
	for _, path := range []string{livePath + "?follow=1", "/events", "/jobs/mine/runs/3?wait=60s"} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			resp, err := s.server.Client().Do(s.request("GET", path, "").WithContext(ctx))
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		}()
		require.Eventually(t, func() bool { return len(held) == 1 }, 10*time.Second, 5*time.Millisecond, path)
		cancel()
		<-done
		require.Eventually(t, func() bool { return len(held) == 0 }, 10*time.Second, 5*time.Millisecond, path)
	}
	require.Equal(t, http.StatusOK, s.do("GET", "/healthz", "").status)
}
