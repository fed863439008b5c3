package signin

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// Nobody takes all seats from one address.
func TestSeatsOfAnAddress(t *testing.T) {
	t.Parallel()
	r := newRoom()
	var leave []func()
	take := func(peer string) error {
		end, err := r.take(peer)
		if err == nil {
			leave = append(leave, end)
		}
		return err
	}
	for i := range seatsEach {
		require.NoError(t, take(fmt.Sprintf("[2001:db8::%d]:443", i+1)))
	}
	err := take("[2001:db8::ffff]:1")
	require.Equal(t, ci.CodeTooMany, ci.CodeOf(err), "somebody has a whole network")
	require.ErrorContains(t, err, "from your address")
	for i := range seats - seatsEach {
		require.NoError(t, take(fmt.Sprintf("192.0.2.%d:443", i+1)))
	}
	err = take("198.51.100.1:443")
	require.Equal(t, ci.CodeTooMany, ci.CodeOf(err))
	require.NotContains(t, err.Error(), "address")
	for _, end := range leave {
		end()
	}
	require.Zero(t, r.taken)
	require.Empty(t, r.of)
}

func TestHouseholds(t *testing.T) {
	t.Parallel()
	for peer, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1", "[::ffff:192.0.2.1]:5": "192.0.2.1", "[2001:db8:0:1:2:3:4:5]:6": "2001:db8:0:1::/64", "[fe80::1%eth0]:5": "fe80::/64", "pages": "pages", "x:1": "x", "": "",
	} {
		require.Equal(t, want, household(peer), peer)
	}
}
