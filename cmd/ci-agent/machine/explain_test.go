package machine_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/cmd/ci-agent/machine"
	"ci/pkg/ci"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection refused")
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"plain":             {cause, "connection refused"},
		"a hidden cause":    {fmt.Errorf("open: %w", &ci.Error{Message: "no database", Cause: cause}), "open: no database: connection refused"},
		"a cause in words":  {ci.Errorf(ci.CodeInternal, "no key: %w", cause), "no key: connection refused"},
		"without any cause": {ci.Errorf(ci.CodeInvalid, "no"), "no"},
	} {
		require.Equal(t, c.want, machine.Explain(c.err), name)
	}
}
