package docker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
)

func withCI(o *runner.Order) { o.Spec.CI = true }

// TestTools looks for the command line where scripts do.
func TestTools(t *testing.T) {
	t.Parallel()
	const script = `echo "$PATH"; readlink /.ci/bin/ci; ls /.ci/bin; test -x /.ci/bin/ci && echo there`
	_, output, _ := play(t, order(script, inImage(busyBase), asUser("dev"), withCI))
	require.Equal(t, "/bin:/.ci/bin\n../ci-agent\nci\ndocker-credential-ci\nthere\n", output)
	_, output, _ = play(t, order(script, inImage(busyBase)))
	require.Equal(t, "/bin\n../ci-agent\nci\ndocker-credential-ci\nthere\n", output, "only scripts that may call the API find it by its name")
}
