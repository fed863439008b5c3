package nats

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"ci/backend/queue"
)

// Warnings are sentences about servers that keep messages less well than they
// could. Nothing else is wrong with them. They are looked at when the driver
// is opened and again after each return of the connection. A server in this
// process has none.
func (d *Driver) Warnings(ctx context.Context) []string {
	if d.server != nil {
		return nil
	}
	d.warned.Lock()
	defer d.warned.Unlock()
	// The first look counts as one more than no return.
	if now := d.conn.Stats().Reconnects + 1; d.looked != now && d.conn.IsConnected() {
		d.warnings, d.looked = d.preflight(ctx), now
	}
	return slices.Clone(d.warnings)
}

// preflight looks at what a client can know of the servers.
func (d *Driver) preflight(ctx context.Context) (all []string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if v := d.conn.ConnectedServerVersion(); !queue.AtLeast(v, oldestMajor, oldestMinor) {
		all = append(all, fmt.Sprintf("the NATS server %s has version %s: servers before 2.12 can lose messages that they have confirmed; update it", d.conn.ConnectedServerName(), v))
	}
	if s, err := d.js.Stream(ctx, streamName); err == nil && d.conn.ConnectedClusterName() != "" {
		if n := s.CachedInfo().Config.Replicas; n < clusterReplicas {
			all = append(all, fmt.Sprintf("each message is kept by %d server(s) of the NATS cluster alone: nothing is queued while one of them is down. Give the cluster three servers or more, and leave replicas=%d out of the queue's address", n, n))
		}
	}
	servers := d.settings(ctx)
	if len(servers) == 0 {
		d.log.Info("whether the NATS servers write each message through to their disks can't be seen from here: their system account doesn't export $SYS.REQ.SERVER.PING.JSZ; see to it that they have jetstream.sync_interval: always")
	}
	for _, s := range servers {
		if !s.Data.Config.SyncAlways {
			all = append(all, fmt.Sprintf("the NATS server %s confirms messages before they are on its disk, so a power cut takes them away; set jetstream.sync_interval: always", s.Server.Name))
		}
	}
	return all
}

// serverSettings is what a server says of itself, as far as it matters here.
// The format is that of its monitoring endpoint /jsz.
type serverSettings struct {
	Server struct {
		Name string `json:"name"`
	} `json:"server"`
	Data struct {
		Config struct {
			SyncAlways bool `json:"sync_always"`
		} `json:"config"`
	} `json:"data"`
}

const (
	// maxServers bounds how many answers are looked at.
	maxServers = 64
	// firstAnswer and nextAnswer are how long one is waited for: nobody says how
	// many servers there are, and one that is busy answers well after the others.
	firstAnswer, nextAnswer = time.Second, 500 * time.Millisecond
)

// settings asks all servers. They answer who is of the system account, and
// whose account imports the question from it; others get none.
func (d *Driver) settings(ctx context.Context) (all []serverSettings) {
	inbox, err := d.conn.SubscribeSync(d.conn.NewInbox())
	if err != nil {
		return nil
	}
	defer func() { _ = inbox.Unsubscribe() }()
	if err := d.conn.PublishRequest("$SYS.REQ.SERVER.PING.JSZ", inbox.Subject, nil); err != nil {
		return nil
	}
	for wait := firstAnswer; len(all) < maxServers && ctx.Err() == nil; wait = nextAnswer {
		m, err := inbox.NextMsg(wait)
		if err != nil || m.Header.Get("Status") != "" {
			break
		}
		var s serverSettings
		if json.Unmarshal(m.Data, &s) == nil && s.Server.Name != "" {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b serverSettings) int { return strings.Compare(a.Server.Name, b.Server.Name) })
	return all
}
