package ci_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestNeeds(t *testing.T) {
	t.Parallel()
	spec := ci.Spec{Resources: ci.Resources{CPUs: 1, Memory: 2 << 30, Pids: 100}}
	require.Equal(t, spec.Resources, spec.Needs(), "without services a run needs its resources")
	spec.Services = []ci.Service{
		{Name: "db"},
		{Name: "search", Resources: ci.Resources{CPUs: 0.5, Memory: 1 << 30, Pids: 50}},
	}
	require.Equal(t, ci.Resources{CPUs: 1.5, Memory: 3<<30 + ci.DefaultServiceMemory, Pids: 150 + ci.DefaultServicePids}, spec.Needs())
	require.Equal(t, ci.Resources{CPUs: 1, Memory: ci.DefaultServiceMemory, Pids: ci.DefaultServicePids}, spec.Services[0].Limits(spec.Resources))
	require.Equal(t, spec.Services[1].Resources, spec.Services[1].Limits(spec.Resources))
}
