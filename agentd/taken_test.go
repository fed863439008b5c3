package agentd_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd"
	"ci/agentd/fake"
	"ci/pkg/ci"
)

// taker is a queue whose backend claims what it hands out.
type taker struct {
	*fake.Backend
	// late: runs are handed out at the moment when a pull is given up.
	late   bool
	claims int
}

func (q *taker) Pull(ctx context.Context, lanes []ci.Lane) (ci.Delivery, error) {
	if q.late {
		<-ctx.Done()
	}
	pulling, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Millisecond)
	defer cancel()
	if !q.late {
		pulling = ctx
	}
	d, err := q.Backend.Pull(pulling, lanes)
	if err != nil {
		return d, err
	}
	q.claims++
	c, since := ci.Claim{Run: d.Run, Agent: "a1", ID: fmt.Sprint("claim", q.claims)}, time.Now()
	work, err := q.Claim(context.WithoutCancel(ctx), c)
	if err != nil {
		return d, err
	}
	if err := d.Ack(ctx); err != nil {
		return d, err
	}
	return ci.Delivery{Run: d.Run, Lane: d.Lane, Taken: &ci.Taken{Claim: c, Lane: d.Lane, Work: work, Since: since}}, nil
}

func TestTakenRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig, c *agentd.Config) { c.Queue = &taker{Backend: r.backend} })
		after(time.Second)
		var ids []int64
		for range 9 {
			ids = append(ids, r.backend.Trigger("small", "sleep 1s; print x"))
		}
		after(time.Minute)
		for _, id := range ids {
			require.Equal(t, ci.OutcomeSucceeded, r.outcome(id))
			require.Equal(t, 1, r.backend.Get(id).Claims)
		}
		r.drained()
	})
}

// A run that the backend has claimed can't be given back: what comes while the
// agent stops pulling is carried out, and waited for.
func TestTakenWhileDraining(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig, c *agentd.Config) { c.Queue = &taker{Backend: r.backend, late: true} })
		after(time.Second)
		id := r.backend.Trigger("small", "sleep 1m; print x")
		after(time.Second)
		require.Equal(t, ci.PhaseQueued, r.phase(id))
		r.drained()
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(id))
	})
}
