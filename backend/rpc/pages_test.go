package rpc

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestTags(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{`"3"`: true, `"3-abc"`: true, `"4"`: false, `*`: true, ` "1" , "3" `: true, `W/"3"`: false, `""`: false} {
		tags, err := parseTags(header)
		require.NoError(t, err, header)
		require.Equal(t, want, tags.match(`"3-abc"`, 3), header)
	}
	for _, bad := range []string{`3`, `"3`, `"a"b"`, `"a",`, `*,"3"`, `w/"3"`} {
		_, err := parseTags(bad)
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), bad)
	}
}

// FuzzPageToken proves that only tokens that were sealed open, and only for their list.
func FuzzPageToken(f *testing.F) {
	runs, err := newPage("runs", 1, "", "a")
	require.NoError(f, err)
	f.Add(runs.seal("42"))
	f.Add("")
	f.Add("AAAAAAAAAAAA")
	f.Add(runs.seal("x") + "=")
	f.Fuzz(func(t *testing.T, token string) {
		p, err := newPage("runs", 1, token, "a")
		if err != nil {
			require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
			return
		}
		if token != "" && p.seal(p.after) != token {
			t.Fatalf("%q opens, and is not what would be sealed", token)
		}
		if _, err := newPage("runs", 1, token, "b"); token != "" && err == nil {
			t.Fatalf("%q opens with other filters", token)
		}
	})
}

func TestDepths(t *testing.T) {
	t.Parallel()
	config := ci.DefaultConfig()
	old := ci.QueueDepth{Lane: ci.Lane{Class: "huge", Priority: ci.PriorityNormal}, Queued: 1}
	two := ci.QueueDepth{Lane: ci.Lane{Class: "medium", Priority: ci.PriorityUrgent}, Queued: 2}
	got := everyLane(&config, []ci.QueueDepth{old, two})
	require.Len(t, got, 7)
	require.Equal(t, two, got[2])
	require.Equal(t, old, got[6])
	require.Equal(t, ci.QueueDepth{Lane: ci.Lane{Class: "small", Priority: ci.PriorityUrgent}}, got[0])
}
