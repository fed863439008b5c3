package ghtest

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// delivery is one attempt to tell an App something.
type delivery struct {
	id           int64
	guid         string
	event        string
	action       string
	installation int64
	repository   int64
	payload      []byte
	at           time.Time
	again        bool
	took         float64 // seconds
	status       int     // 0: nobody answered
	words        string
	answer       string
	request      http.Header
	response     http.Header
}

// Delivery is what became of one attempt.
type Delivery struct {
	ID   int64
	GUID string
	// Event is the header's, Action the payload's.
	Event, Action string
	// Status is the answer's; 0 when nobody answered.
	Status     int
	Redelivery bool
	Answer     string
}

// emit delivers events, one after the other, and returns when all are answered.
func (s *Server) emit(list ...event) {
	for _, e := range list {
		s.mu.Lock()
		body, err := json.Marshal(e.payload())
		d := &delivery{event: e.name, action: e.action, payload: body}
		if e.installation != nil {
			d.installation = e.installation.ID
		}
		if e.repo != nil {
			d.repository = e.repo.ID
		}
		s.mu.Unlock()
		if err != nil {
			s.t.Errorf("%s: %v", e.name, err)
		}
		e.app.send(d)
	}
}

// later delivers events that an API call caused, beside its answer.
func (c *call) later(list []event) {
	if len(list) > 0 {
		go c.s.emit(list...) // it ends with the delivery's time limit, or with the test's server
	}
}

// Deliver signs any payload and posts it as an event, as GitHub would.
func (a *App) Deliver(event string, payload []byte) Delivery {
	return a.send(&delivery{event: event, action: actionOf(payload), payload: payload})
}

func actionOf(payload []byte) string {
	var p struct{ Action string }
	_ = json.Unmarshal(payload, &p) // one without an action has none
	return p.Action
}

// LoseDeliveries makes deliveries fail on their way, so that only GitHub knows
// of them.
func (a *App) LoseDeliveries(on bool) {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	a.hookPaused = on
}

// Deliveries returns all attempts, oldest first.
func (a *App) Deliveries() []Delivery {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	var list []Delivery
	for _, d := range a.deliveries {
		list = append(list, d.public())
	}
	return list
}

func (d *delivery) public() Delivery {
	return Delivery{ID: d.id, GUID: d.guid, Event: d.event, Action: d.action, Status: d.status, Redelivery: d.again, Answer: d.answer}
}

// send makes one attempt and keeps it.
func (a *App) send(d *delivery) Delivery {
	s := a.server
	s.mu.Lock()
	d.id, d.at = s.id(), s.now()
	if d.guid == "" {
		d.guid = uuid.NewString()
	}
	target, secret, lost := a.hookURL, a.WebhookSecret, a.hookPaused
	s.mu.Unlock()
	if target == "" {
		return Delivery{}
	}
	d.request = a.headers(d, secret)
	began := time.Now()
	d.status, d.words = 0, "failed to connect to host"
	if !lost {
		s.post(d, target)
	}
	d.took = time.Since(began).Seconds()
	s.mu.Lock()
	defer s.mu.Unlock()
	a.deliveries = append(a.deliveries, d)
	// They are listed by number, however many are on their way at once.
	slices.SortFunc(a.deliveries, func(a, b *delivery) int { return cmp.Compare(a.id, b.id) })
	return d.public()
}

func (a *App) headers(d *delivery, secret string) http.Header {
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "GitHub-Hookshot/ghtest")
	h.Set("X-GitHub-Delivery", d.guid)
	h.Set("X-GitHub-Event", d.event)
	h.Set("X-GitHub-Hook-ID", strconv.FormatInt(a.ID, 10))
	h.Set("X-GitHub-Hook-Installation-Target-ID", strconv.FormatInt(a.ID, 10))
	h.Set("X-GitHub-Hook-Installation-Target-Type", "integration")
	h.Set("X-Hub-Signature", "sha1="+sign(sha1.New, secret, d.payload))
	h.Set("X-Hub-Signature-256", "sha256="+sign(sha256.New, secret, d.payload))
	return h
}

func sign(kind func() hash.Hash, secret string, payload []byte) string {
	mac := hmac.New(kind, []byte(secret))
	mac.Write(payload)
	return hex.EncodeToString(mac.Sum(nil))
}

func (s *Server) post(d *delivery, target string) {
	req, err := http.NewRequest(http.MethodPost, target, bytes.NewReader(d.payload))
	if err != nil {
		s.t.Errorf("the hook's address %q: %v", target, err)
		return
	}
	req.Header = d.request
	resp, err := s.hooks.Do(req)
	if err != nil {
		d.words = "failed to connect to host"
		return
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what came is shown
	d.status, d.words, d.answer, d.response = resp.StatusCode, http.StatusText(resp.StatusCode), string(text), resp.Header
}

func (d *delivery) describe() fields {
	f := fields{
		"id": d.id, "guid": d.guid, "delivered_at": stamp(d.at), "redelivery": d.again, "duration": d.took, "status": d.words,
		"status_code": d.status, "event": d.event, "action": orNil(d.action), "installation_id": nil, "repository_id": nil,
	}
	if d.installation != 0 {
		f["installation_id"] = d.installation
	}
	if d.repository != 0 {
		f["repository_id"] = d.repository
	}
	return f
}

// listDeliveries shows the newest first; a cursor is the last id of the page before.
func listDeliveries(c *call) answer {
	size, _ := c.pageOf(30, 100)
	cursor, _ := strconv.ParseInt(c.query.Get("cursor"), 10, 64)
	all, out := c.app.deliveries, []fields{}
	header := map[string]string{}
	for i := len(all) - 1; i >= 0; i-- {
		if cursor > 0 && all[i].id >= cursor {
			continue
		}
		if len(out) == size {
			u := *c.http.URL
			q := u.Query()
			q.Set("cursor", strconv.FormatInt(all[i+1].id, 10))
			u.RawQuery = q.Encode()
			header["Link"] = "<" + c.s.URL + u.RequestURI() + `>; rel="next"`
			break
		}
		out = append(out, all[i].describe())
	}
	return answer{status: http.StatusOK, body: out, header: header}
}

func (c *call) delivery() *delivery {
	for _, d := range c.app.deliveries {
		if d.id == c.number("delivery_id") {
			return d
		}
	}
	return nil
}

func getDelivery(c *call) answer {
	d := c.delivery()
	if d == nil {
		return notFound()
	}
	f := d.describe()
	var payload any
	_ = json.Unmarshal(d.payload, &payload) // it was written by us, or is shown as nothing
	f["url"] = c.app.hookURL
	f["request"] = fields{"headers": flat(d.request), "payload": payload}
	f["response"] = fields{"headers": flat(d.response), "payload": d.answer}
	return ok(f)
}

func flat(h http.Header) fields {
	f := fields{}
	for name := range h {
		f[name] = h.Get(name)
	}
	return f
}

// redeliver sends the same payload under the same GUID again.
func redeliver(c *call) answer {
	d := c.delivery()
	if d == nil {
		return notFound()
	}
	again := &delivery{
		guid: d.guid, event: d.event, action: d.action, installation: d.installation, repository: d.repository, payload: d.payload, again: true,
	}
	app := c.app
	go app.send(again) // it ends with the delivery's time limit
	return answer{status: http.StatusAccepted, body: fields{}}
}
