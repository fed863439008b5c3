package rabbitmq

import (
	"context"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// A mark tells the other processes what has become of messages: its type says
// which, its first line the lane, the others the runs.
const (
	markKey  = "marks"
	markAdd  = "add"
	markGone = "gone"
)

// mark tells the others. It may be lost.
func (b *Bus) mark(kind string, ms []queue.Message) {
	byLane := map[ci.Lane][]string{}
	for _, m := range ms {
		byLane[m.Lane] = append(byLane[m.Lane], strconv.FormatInt(m.Run, 10))
	}
	for l, runs := range byLane {
		body := l.Class + "." + string(l.Priority) + "\n" + strings.Join(runs, "\n")
		_ = b.say(context.Background(), markKey, amqp.Publishing{Type: kind, AppId: b.d.id, Body: []byte(body)}, false)
	}
}

// heard takes a mark in. Our own are known already, and may be older than what
// has happened since.
func (v *live) heard(m amqp.Delivery, self string) {
	lines := strings.Split(string(m.Body), "\n")
	class, priority, ok := cutLast(lines[0], ".")
	l := ci.Lane{Class: class, Priority: ci.Priority(priority)}
	if !ok || m.AppId == self || queue.CheckLane(l) != nil {
		return
	}
	var ms []queue.Message
	for _, line := range lines[1:] {
		if run, ok := runOf([]byte(line)); ok {
			ms = append(ms, queue.Message{Run: run, Lane: l})
		}
	}
	switch m.Type {
	case markAdd:
		v.add(ms)
	case markGone:
		for _, m := range ms {
			v.gone(m.Run)
		}
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
