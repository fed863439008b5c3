package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"golang.org/x/sync/errgroup"

	"ci/pkg/ci"
)

// A run that a pipeline refers to is kept while the pipeline goes on, whatever
// limits the server has: its program may still read a result of it. The pins are
// named after the pipeline run's own random key, end a day after the pipeline
// must have, and are taken away at its end. The key itself is in no name: a run's
// script reads its run's pins, and whoever has the key can trigger in the pipeline's place.

// unpinTime is how long taking pins away may take; the rest ends by itself.
const unpinTime = time.Minute

// pinName is the same for all pins of a pipeline's run, and does not tell its key.
func pinName(key string) string {
	sum := sha256.Sum256([]byte("pin " + key))
	return "pipeline-" + hex.EncodeToString(sum[:16])
}

// pinNames are all that a pin may have. One with the bare key is from an earlier
// release, of a pipeline that has gone on since then or beside a cid of that release.
func pinNames(key string) []string { return []string{pinName(key), "pipeline-" + key} }

// pin keeps a run for a pipeline's run. One that is gone, and a server that
// knows no pins or allows none, leave it unpinned; another error goes away.
func (s *Service) pin(ctx context.Context, pipeline, key string, child *ci.RunRef) error {
	lasts := min(s.MaxAge+24*time.Hour, ci.MaxTriggerPinFor-time.Hour)
	_, err := s.API.PutPin(ctx, *child, ci.Pin{Name: pinName(key), Reason: "pipeline " + pipeline, Until: s.now().Add(lasts)})
	if refused(err) {
		s.Log.Warn("pipelines: a run is not pinned; it may go before the pipeline has ended", "pipeline", pipeline, "run", child.Run, "err", err)
		return nil
	}
	return err
}

// pinReused keeps the runs that a new run of a pipeline has from an earlier one.
func (s *Service) pinReused(ctx context.Context, pipeline, key string, calls []ci.PipelineCall) error {
	return eachChild(ctx, calls, func(ctx context.Context, child *ci.RunRef) error { return s.pin(ctx, pipeline, key, child) })
}

// unpin takes the pins of a pipeline's run away. What fails ends by itself.
func (s *Service) unpin(ctx context.Context, key string, calls []ci.PipelineCall) {
	ctx, cancel := context.WithTimeout(ctx, unpinTime)
	defer cancel()
	err := eachChild(ctx, calls, func(ctx context.Context, child *ci.RunRef) error {
		for _, name := range pinNames(key) {
			if err := s.API.DeletePin(ctx, *child, name); err != nil && !refused(err) { // refused: the run is gone
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.Log.Debug("pipelines: pins were not taken away; they end by themselves", "err", err)
	}
}

// eachChild calls fn for the runs of calls, several at once. The first error ends it.
func eachChild(ctx context.Context, calls []ci.PipelineCall, fn func(ctx context.Context, child *ci.RunRef) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range calls {
		if child := calls[i].Run; child != nil {
			g.Go(func() error { return fn(ctx, child) })
		}
	}
	return g.Wait()
}

const (
	// pruneEvery is how often the journal is looked through for runs that are kept no longer.
	pruneEvery = time.Hour
	// pruneBatch is how many of them go in one transaction.
	pruneBatch = 100
)

// pruneLoop forgets done runs of pipelines by the server's bound for all runs.
// Several processes may do it at once.
func (s *Service) pruneLoop(ctx context.Context) error {
	for {
		if err := s.prune(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("pipelines: old runs are not forgotten at the moment; trying again", "err", err)
		}
		select {
		case <-time.After(pruneEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Service) prune(ctx context.Context) error {
	config, err := s.API.GetConfig(ctx)
	if err != nil || config.Retention == 0 {
		return err
	}
	before := s.now().Add(-time.Duration(config.Retention))
	for n := pruneBatch; n == pruneBatch; {
		if n, err = s.Journal.Prune(ctx, before, pruneBatch); err != nil {
			return err
		}
		if n > 0 {
			s.Log.Info("runs of pipelines are kept no longer", "runs", n, "why", "they ended before "+before.Format(time.RFC3339)+" (retention)")
		}
	}
	return nil
}
