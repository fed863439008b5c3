package engine

import (
	"context"
	"fmt"
	"slices"

	"ci/backend/store"
	"ci/pkg/ci"
)

// maxKeepers is how many agents keep room for one lane at the most.
const maxKeepers = 16

// Keep lets an agent keep its room for the runs of a lane that have waited for
// long, if no more agents do so than runs wait there, nor than maxKeepers: the
// others go on taking smaller runs. Who asks first gets it. It holds for
// ci.KeepFor and is prolonged by asking again; an agent that needs it no more
// lets it run out.
func (e *Engine) Keep(ctx context.Context, agent string, lane ci.Lane) (bool, error) {
	waiting, err := e.Store.QueuedUpTo(ctx, lane, maxKeepers)
	if err != nil || waiting == 0 {
		return false, err
	}
	// There are as many leases as runs wait, so as many agents can hold one. More
	// may still hold one from when more waited; theirs run out.
	names := make([]string, waiting)
	for i := range names {
		names[i] = fmt.Sprintf("keep/%s/%d", lane, i)
	}
	holders, err := e.Store.LeaseHolders(ctx, names, e.Store.Now())
	if err != nil {
		return false, err
	}
	pick := slices.IndexFunc(names, func(n string) bool { return holders[n] == agent })
	if pick < 0 {
		pick = slices.IndexFunc(names, func(n string) bool { return holders[n] == "" })
	}
	if pick < 0 {
		return false, nil
	}
	yes := false
	err = e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		now := e.Store.Now()
		yes, err = tx.TakeLease(ctx, names[pick], agent, now.Add(ci.KeepFor), now)
		return err
	})
	return yes, err
}
