package rest

import (
	"context"
	"errors"
	"strconv"
	"time"

	"ci/pkg/ci"
)

// errGone says that the reader of a stream is gone, or takes nothing. It ends the stream and is no failure.
var errGone = errors.New("the reader is gone")

// pingEvery is how often an idle stream of events says that it lives.
const pingEvery = 15 * time.Second

// follow calls grown with a run and its console's end, at once and whenever
// either may have changed, until the run was done at a call, the reader is gone or the
// server stops. ping, if given, is called when nothing happened for a while.
func (s *server) follow(ctx context.Context, run *ci.Run, grown func(context.Context, *ci.Run, int64) error, ping func() error) error {
	ctx, cancel := s.rpc.UntilStop(ctx)
	defer cancel()
	woken := make(chan struct{}, 1)
	defer s.listen(run.ID, woken)()
	poll, quiet := time.NewTicker(consolePoll), time.NewTicker(pingEvery)
	defer poll.Stop()
	defer quiet.Stop()
	for {
		done, err := s.followOnce(ctx, run, grown)
		if done || err != nil {
			return ended(ctx, err)
		}
		select {
		case <-woken:
		case <-poll.C:
		case <-quiet.C:
			if ping != nil {
				err = ping()
			}
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return ended(ctx, err)
		}
	}
}

// followOnce looks at the run first and at its console after: the console of a
// run that was done then has all its bytes.
func (s *server) followOnce(ctx context.Context, run *ci.Run, grown func(context.Context, *ci.Run, int64) error) (done bool, err error) {
	now, err := s.Store.GetRun(ctx, run.Job, run.ID)
	if err != nil {
		return false, err
	}
	end, err := s.consoleEnd(ctx, now)
	if err != nil {
		return false, err
	}
	return now.Done(), grown(ctx, now, end)
}

// ended drops errors that are only about a reader that left, or a server that stops.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, errGone) || ctx.Err() != nil {
		return nil
	}
	return err
}

// listen wakes when the run's console or state changes. Without the bus it does
// not: who follows looks by itself too.
func (s *server) listen(run int64, woken chan<- struct{}) (cancel func()) {
	wake := func(string, []byte) {
		select {
		case woken <- struct{}{}:
		default:
		}
	}
	id := strconv.FormatInt(run, 10)
	console, err := s.Bus.Subscribe("console."+id, wake)
	if err != nil {
		return func() {} // it would not hear of the state either
	}
	state, err := s.Bus.Subscribe("run."+id, wake)
	if err != nil {
		return console
	}
	return func() { console(); state() }
}
