package provider_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
	"ci/pkg/replay"
)

// TestMain lets this program check pipelines, as cid does.
func TestMain(m *testing.M) {
	if code, ran := replay.Main(os.Args, os.Stdin, os.Stdout); ran {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func TestPipelineIsKept(t *testing.T) {
	t.Parallel()
	c := setup(t)
	r := c.resource("ci_pipeline")
	commit := strings.Repeat("0123456789", 4)
	config := map[string]any{"name": "release", "program": "print(\"hello\")\n"}
	r.apply(config)
	config["source"] = map[string]any{"url": "https://git.example.com/app.git", "commit": commit, "path": "release.star"}
	require.EqualValues(t, 2, r.apply(config)["version"])
	stored, err := c.admin.GetPipeline(t.Context(), "release")
	require.NoError(t, err)
	require.Equal(t, "print(\"hello\")\n", stored.Program)
	require.Equal(t, &ci.PipelineSource{URL: "https://git.example.com/app.git", Commit: commit, Path: "release.star"}, stored.Source)

	// Somebody changes it.
	_, _, err = c.admin.PutPipeline(t.Context(), &ci.Pipeline{Name: "release", Program: "print(1)"}, 0)
	require.NoError(t, err)
	require.True(t, r.refresh())
	require.False(t, r.plan(config).empty)
	r.apply(config)

	require.Contains(t, lines(c.resource("ci_pipeline").try(config)), "tofu import ADDRESS release")
	again, said := c.imported("ci_pipeline", "release")
	require.Empty(t, said)
	require.True(t, again.refresh())
	require.True(t, again.plan(config).empty)

	broken := lines(c.resource("ci_pipeline").try(map[string]any{"name": "broken", "program": "run("}))
	require.Contains(t, broken, `AttributeName("program"): The pipeline can't be created`)
	require.Empty(t, r.destroy())
	_, err = c.admin.GetPipeline(t.Context(), "release")
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
}
