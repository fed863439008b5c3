package api

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// silent is how long the stream to an agent may bring nothing before it counts as cut.
const silent = 20 * time.Second

// listeners share one stream, which is open while there are any.
type listeners struct {
	mu   sync.Mutex
	last int
	fns  map[int]listener
	stop context.CancelFunc
}

type listener struct {
	topic string
	fn    func(topic string, data []byte)
}

// Subscribe calls fn for each message of a topic, until cancel is called: for
// "abort." and the agent's id with the id of a run that it should abort, for
// "agents" when there may be orders to it. While the server is away they come
// late: with the next connection, the renewal of the lease, or the next heartbeat.
func (a *Agent) Subscribe(topic string, fn func(topic string, data []byte)) (cancel func(), err error) {
	if topic != "agents" && !strings.HasPrefix(topic, "abort.") {
		return nil, ci.Errorf(ci.CodeInvalid, "agents listen for aborts and orders alone, not for %q", topic)
	}
	b := &a.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.fns) == 0 {
		var ctx context.Context
		ctx, b.stop = context.WithCancel(context.Background())
		b.fns = map[int]listener{}
		go a.listen(ctx)
	}
	b.last++
	id := b.last
	b.fns[id] = listener{topic, fn}
	return func() { b.remove(id) }, nil
}

func (b *listeners) remove(id int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, there := b.fns[id]; !there {
		return
	}
	delete(b.fns, id)
	if len(b.fns) == 0 {
		b.stop()
	}
}

// tell calls who listens to a kind of topic.
func (b *listeners) tell(kind string, data []byte) {
	b.mu.Lock()
	all := slices.Collect(maps.Values(b.fns))
	b.mu.Unlock()
	for _, l := range all {
		if name, _, _ := strings.Cut(l.topic, "."); name == kind {
			l.fn(l.topic, data)
		}
	}
}

// listen keeps the stream open.
func (a *Agent) listen(ctx context.Context) {
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, longPause) {
		if a.watch(ctx) {
			pause = firstPause
		}
		_ = sleep(ctx, jitter(pause)) // ctx is looked at above
	}
}

// watch reads one connection to its end, and says whether it brought anything.
func (a *Agent) watch(ctx context.Context) (alive bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(silent, cancel)
	defer quiet.Stop()
	stream, err := a.work.WatchAgent(ctx, new(civ1.WatchAgentRequest))
	if err != nil {
		return false
	}
	defer func() { _ = stream.Close() }() // it was only read
	for stream.Receive() {
		alive = true
		quiet.Reset(silent)
		switch m := stream.Msg(); m.GetTopic() {
		case "abort":
			a.bus.tell("abort", strconv.AppendUint(nil, uint64(m.GetRun()), 10))
		case "agents":
			a.bus.tell("agents", nil)
		}
	}
	return alive
}
