package ghtest

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is something that goes wrong with requests to the API. The first that
// fits a request is used.
type Fault struct {
	// Method and Part (of the path) select requests; "" selects all.
	Method, Part string
	// Times is how often it happens; 0 is until it is taken away.
	Times int

	// Status is answered instead of doing what was asked; 0 does it.
	Status int
	// RetryAfter is told with Status, in whole seconds.
	RetryAfter time.Duration
	// Secondary makes Status a secondary rate limit's answer.
	Secondary bool
	// Lose does what was asked, and then cuts the connection before the answer.
	Lose bool
	// Hold keeps the answer back until it is closed.
	Hold <-chan struct{}
	// Done, if not nil, is closed when the fault has happened for the first time.
	Done chan struct{}

	used int
}

// Fail adds a fault, and returns what takes it away again.
func (s *Server) Fail(f Fault) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := &f
	s.faults = append(s.faults, fault)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range s.faults {
			if s.faults[i] == fault {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
				return
			}
		}
	}
}

func (s *Server) fault(method, path string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if (f.Method != "" && f.Method != method) || !strings.Contains(path, f.Part) || (f.Times > 0 && f.used >= f.Times) {
			continue
		}
		f.used++
		if f.used == 1 && f.Done != nil {
			close(f.Done)
		}
		return f
	}
	return nil
}

// wait holds a request; false says that who asked went away.
func (f *Fault) wait(ctx context.Context) bool {
	if f.Hold == nil {
		return true
	}
	select {
	case <-f.Hold:
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *Fault) answer() answer {
	a := answer{status: f.Status, header: map[string]string{}}
	switch {
	case f.Secondary:
		a.body = fields{
			"message":           "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
			"documentation_url": docsURL + "/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits",
		}
	case f.Status >= 500:
		a.raw, a.kind = unicorn(), "text/html; charset=utf-8"
	default:
		a = refuse(f.Status, "%s", http.StatusText(f.Status))
		a.header = map[string]string{}
	}
	if f.RetryAfter > 0 {
		a.header["Retry-After"] = strconv.Itoa(int(f.RetryAfter.Seconds()))
	}
	return a
}

// unicorn is what stands before GitHub when it is overloaded.
func unicorn() []byte {
	return []byte("<!DOCTYPE html>\n<html><head><title>Unicorn! &middot; GitHub</title></head><body>This page is taking too long to load.</body></html>\n")
}

// Cut is a state of Down in which connections break off.
const Cut = -1

// Down takes all of GitHub away: every request gets that status, or with Cut
// no answer at all. 0 brings it back.
func (s *Server) Down(status int) {
	s.mu.Lock()
	s.down = status
	s.mu.Unlock()
	if status == Cut {
		s.http.CloseClientConnections()
	}
}

// cut answers when GitHub is down.
func (s *Server) cut(w http.ResponseWriter) bool {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	switch down {
	case 0:
		return false
	case Cut:
		drop(w)
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(down)
		_, _ = w.Write(unicorn())
	}
	return true
}

// drop ends a connection without an answer.
func drop(w http.ResponseWriter) {
	if h, can := w.(http.Hijacker); can {
		if conn, _, err := h.Hijack(); err == nil {
			_ = conn.Close()
		}
	}
}

// The quota of one installation, user or App in an hour.
const hourly = 5000

// quota is how many requests somebody has left.
type quota struct {
	remaining int
	reset     time.Time
}

// Quota sets how many requests everybody has left, and when the next quota begins.
func (s *Server) Quota(remaining int, reset time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.quota {
		q.remaining, q.reset = remaining, reset
	}
	s.quota[""] = &quota{remaining, reset} // who comes later begins with it
}

// quotaOf returns the caller's quota. s.mu is held.
func (s *Server) quotaOf(c *call) *quota {
	key := c.payer()
	q := s.quota[key]
	if q == nil {
		q = &quota{hourly, s.now().Add(time.Hour)}
		if first := s.quota[""]; first != nil {
			*q = *first
		}
		s.quota[key] = q
	}
	if !s.now().Before(q.reset) {
		*q = quota{hourly, s.now().Add(time.Hour)}
	}
	return q
}

// spend takes a request off the caller's quota, or refuses it. s.mu is held.
func (s *Server) spend(c *call) *answer {
	if c.route.template == "/rate_limit" {
		return nil
	}
	q := s.quotaOf(c)
	if q.remaining == 0 {
		a := refuse(http.StatusForbidden, "API rate limit exceeded for %s.", c.payer())
		return &a
	}
	q.remaining--
	return nil
}

func (s *Server) rateHeaders(h http.Header, c *call) {
	if c.route == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.quotaOf(c)
	h.Set("X-RateLimit-Limit", strconv.Itoa(hourly))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(q.remaining))
	h.Set("X-RateLimit-Used", strconv.Itoa(hourly-q.remaining))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(q.reset.Unix(), 10))
	h.Set("X-RateLimit-Resource", "core")
}

func rateLimit(c *call) answer {
	q := c.s.quotaOf(c)
	rate := fields{"limit": hourly, "remaining": q.remaining, "used": hourly - q.remaining, "reset": q.reset.Unix()}
	return ok(fields{"rate": rate, "resources": fields{"core": rate, "search": rate}})
}

// date is GitHub's time as answers show it.
func (s *Server) date() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now().Format(http.TimeFormat)
}

// Used says how often faults of that method and part have happened.
func (s *Server) Used(method, part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, f := range s.faults {
		if f.Method == method && f.Part == part {
			n += f.used
		}
	}
	return n
}
