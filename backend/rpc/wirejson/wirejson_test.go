package wirejson

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

func TestPlaces(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"x":                        "line 1, column 1:",
		"{\n  \"name\": \"a\",\n}": "line 3, column 1:",
		"{\"name\" \"a\"}":         "line 1, column 9:",
		"{\"name\": \"a\"":         "it ends before its end",
		"":                         "it ends before its end",
	} {
		err := Unmarshal([]byte(in), new(civ1.Job))
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), in)
		require.ErrorContains(t, err, want, in)
	}
}

// TestTogether finds everything that is wrong in one go.
func TestTogether(t *testing.T) {
	t.Parallel()
	err := Unmarshal([]byte(`{"nme": "x", "git": [], "parameters": [{"name": 1}, 2, {"x": {"y": [1, {"z": 2}]}}], "version": -1,
		"createdAt": "today", "freestyle": {"a": {"b": 1, "b": 2}}}`), new(civ1.Job))
	var e *ci.Error
	require.ErrorAs(t, err, &e)
	var paths []string
	for _, f := range e.Fields {
		paths = append(paths, f.Path)
	}
	require.Equal(t, []string{"nme", "git", "parameters[0].name", "parameters[1]", "parameters[2].x", "version", "createdAt", "freestyle.a.b"}, paths)
	many := Unmarshal([]byte(`{"parameters":[`+strings.TrimSuffix(strings.Repeat("1,", 1000), ",")+`]}`), new(civ1.Job))
	require.ErrorAs(t, many, &e)
	require.Len(t, e.Fields, maxFaults)
}

func TestValues(t *testing.T) {
	t.Parallel()
	var c civ1.Config
	require.NoError(t, Unmarshal([]byte(`{"globalTimeout":"1h30m","abortGrace":"90s","retention":"0.5s","maxConsole":9007199254740992,"maxResultFiles":7}`), &c))
	out, err := Marshal(&c)
	require.NoError(t, err)
	require.JSONEq(t, `{"globalTimeout":"5400s","abortGrace":"90s","classes":[],"maxConsole":9007199254740992,"maxResult":0,"maxResultFiles":7,"retention":"0.5s","version":0}`, string(out))
	require.Contains(t, string(out), `"maxConsole":9007199254740992`, "whole numbers are written as such")
	for _, bad := range []string{`{"maxResultFiles":1.0}`, `{"maxResultFiles":"1"}`, `{"maxResultFiles":4294967296}`, `{"maxConsole":"NaN"}`, `{"maxConsole":1e400}`, `{"retention":5}`} {
		require.Error(t, Unmarshal([]byte(bad), new(civ1.Config)), bad)
	}
	var j civ1.Job
	require.NoError(t, Unmarshal([]byte(`{"freestyle":{"a":null,"b":[1,"x",{"c":true}],"d":1.5}}`), &j))
	require.Equal(t, map[string]any{"a": nil, "b": []any{1.0, "x", map[string]any{"c": true}}, "d": 1.5}, j.GetFreestyle().AsMap())
}

// TestNaughty sends strings that have broken programs before, there and back.
func TestNaughty(t *testing.T) {
	t.Parallel()
	for _, s := range naughty(t) {
		in, err := json.Marshal(map[string]any{"name": s, "freestyle": map[string]any{"k": s}})
		require.NoError(t, err)
		var j civ1.Job
		require.NoError(t, Unmarshal(in, &j), "%q", s)
		require.Equal(t, string([]rune(s)), j.GetName())
		out, err := Marshal(&j)
		require.NoError(t, err)
		var again civ1.Job
		require.NoError(t, Unmarshal(out, &again))
		require.True(t, proto.Equal(&j, &again))
	}
}

// naughty reads the list where it is at hand, beside the module.
func naughty(t testing.TB) []string {
	t.Helper()
	list := []string{"", "null", "\u0000", "\u202e", "👩‍👩‍👧", "\u2028", strings.Repeat("a", 10000)}
	b, err := os.ReadFile("../../../../shared/data/blns/blns.base64.json")
	if err != nil {
		return list
	}
	var encoded []string
	require.NoError(t, json.Unmarshal(b, &encoded))
	for _, e := range encoded {
		s, err := base64.StdEncoding.DecodeString(e)
		require.NoError(t, err)
		list = append(list, string(s))
	}
	return list
}

// FuzzUnmarshal compares with protojson: what we accept, it must accept too, and understand in the same way.
func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"name":"x","git":{"url":"u","configPath":"p"},"parameters":[{"name":"A","required":true}],"version":3}`))
	f.Add([]byte(`{"freestyle":{"a":[1,2,{"b":null}],"c":"\ud83d\ude00"},"createdAt":"2030-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"a":1}{"b":2}`))
	f.Add([]byte("[[[[[[["))
	f.Fuzz(func(t *testing.T, in []byte) {
		var ours, theirs civ1.Job
		if Unmarshal(in, &ours) != nil {
			return
		}
		if err := protojson.Unmarshal(in, &theirs); err != nil {
			t.Fatalf("%q is accepted, and protojson says: %v", in, err)
		}
		if !proto.Equal(&ours, &theirs) {
			t.Fatalf("%q is read as %v, not %v", in, &ours, &theirs)
		}
		out, err := Marshal(&ours)
		if err != nil {
			t.Fatalf("%q can't be written: %v", in, err)
		}
		var read civ1.Job
		if err := protojson.Unmarshal(out, &read); err != nil || !proto.Equal(&ours, &read) {
			t.Fatalf("%q becomes %q, which protojson reads as %v (%v)", in, out, &read, err)
		}
		var again civ1.Job
		if err := Unmarshal(out, &again); err != nil || !proto.Equal(&ours, &again) {
			t.Fatalf("%q becomes %q and is read as %v (%v)", in, out, &again, err)
		}
	})
}
