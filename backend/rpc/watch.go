package rpc

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"ci/backend/auth"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// watchPing is how often a quiet stream to an agent says that it lives, looks
// for what the bus has lost, and whether its token still opens it.
const watchPing = 5 * time.Second

// WatchAgent streams the aborts of the runs that an agent holds, and that there may be orders to it.
func (s *Services) WatchAgent(ctx context.Context, _ *civ1.WatchAgentRequest, stream *connect.ServerStream[civ1.WatchAgentResponse]) error {
	agent, err := agentOf(ctx)
	if err != nil {
		return err
	}
	aborts, deaf, err := s.bell("abort." + agent)
	if err != nil {
		return err
	}
	defer deaf()
	orders, deaf, err := s.bell("agents")
	if err != nil {
		return err
	}
	defer deaf()
	if err := stream.Send(new(civ1.WatchAgentResponse)); err != nil {
		return err
	}
	ping := time.NewTicker(watchPing)
	defer ping.Stop()
	told := map[int64]bool{}
	for {
		if told, err = s.tellAborts(ctx, agent, told, stream.Send); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-aborts:
			continue
		case <-orders:
			if err := stream.Send(&civ1.WatchAgentResponse{Topic: "agents"}); err != nil {
				return err
			}
			continue
		case <-ping.C:
		}
		p, _ := auth.FromContext(ctx)
		if err := s.Tokens.Living(ctx, p.TokenID); err != nil {
			return err
		}
		if err := stream.Send(new(civ1.WatchAgentResponse)); err != nil {
			return err
		}
	}
}

// bell rings when something is said about a topic.
func (s *Services) bell(topic string) (rung <-chan struct{}, deaf func(), err error) {
	woken := make(chan struct{}, 1)
	deaf, err = s.Bus.Subscribe(topic, func(string, []byte) {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, nil, ci.Errorf(ci.CodeUnavailable, "orders to agents can't be followed at the moment: %w", err)
	}
	return woken, deaf, nil
}

// tellAborts sends those aborts that were not told yet, and returns all.
func (s *Services) tellAborts(ctx context.Context, agent string, told map[int64]bool, send func(*civ1.WatchAgentResponse) error) (map[int64]bool, error) {
	runs, err := s.Work.Aborts(ctx, agent)
	if err != nil {
		return told, err
	}
	all := make(map[int64]bool, len(runs))
	for _, run := range runs {
		all[run] = true
		if told[run] {
			continue
		}
		if err := send(&civ1.WatchAgentResponse{Topic: "abort", Run: uint32(run)}); err != nil {
			return all, err
		}
	}
	return all, nil
}
