package runner

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"ci/agentd/mask"
	"ci/pkg/ci"
)

// What is kept of a run's services, in bytes: of one, and of all together.
const (
	maxServiceLog  = 16 << 20
	maxServiceLogs = 64 << 20
)

// serviceLogs keeps what the services of a run print until the run's end, in
// files without a name.
type serviceLogs struct {
	dir  string
	mask *mask.Mask // set before the first service prints

	mu     sync.Mutex
	list   []*serviceLog
	left   int64
	closed bool
}

// serviceLog is what one service printed.
type serviceLog struct {
	all     *serviceLogs
	service string
	file    *os.File // nil until there is something
	size    int64
	mark    string  // why there is no more; "" while there is
	masked  *masked // nil when nothing is to be masked
}

func newServiceLogs(dir string) *serviceLogs { return &serviceLogs{dir: dir, left: maxServiceLogs} }

// open returns where a service prints to. Opened again, it goes on.
func (s *serviceLogs) open(service string) *serviceLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.list, func(l *serviceLog) bool { return l.service == service })
	if i >= 0 {
		return s.list[i]
	}
	l := &serviceLog{all: s, service: service}
	if s.mask != nil {
		l.masked = newMasked(s.mask, l.write)
	}
	s.list = append(s.list, l)
	return l
}

// Write keeps p, masked, as far as there is room. It does not fail: a service must not
// stand still because nobody keeps what it prints.
func (l *serviceLog) Write(p []byte) (int, error) {
	if l.masked != nil {
		return l.masked.Write(p)
	}
	return l.write(p)
}

// write keeps p as far as there is room.
func (l *serviceLog) write(p []byte) (int, error) {
	s := l.all
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || l.mark != "" {
		return len(p), nil
	}
	room := min(maxServiceLog-l.size, s.left)
	piece := p[:min(int64(len(p)), room)]
	if err := l.keep(piece); err != nil {
		l.mark = fmt.Sprintf("what %s printed from here on could not be stored: %v", l.service, err)
	} else if len(piece) < len(p) {
		l.mark = fmt.Sprintf("the log has reached its limit of %s for a service, or of %s for all of a run; what %s printed from here on was not stored",
			ci.Bytes(maxServiceLog), ci.Bytes(maxServiceLogs), l.service)
	}
	return len(p), nil
}

// keep appends p to the file. The caller holds mu.
func (l *serviceLog) keep(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if l.file == nil {
		f, err := unnamed(l.all.dir, "service-*")
		if err != nil {
			return err
		}
		l.file = f
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	l.all.left -= int64(n)
	return err
}

// unnamed makes a file that can't be left behind, however we end.
func unnamed(dir, pattern string) (*os.File, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// pack ends the logs and writes them as a zip with one file for each service.
func (s *serviceLogs) pack(w io.Writer, now time.Time) error {
	s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	z := zip.NewWriter(w)
	for _, l := range s.list {
		if err := l.pack(z, now); err != nil {
			return err
		}
	}
	return z.Close()
}

// flush lets out what was held back as the beginning of a secret.
func (s *serviceLogs) flush() {
	s.mu.Lock()
	list := slices.Clone(s.list)
	s.mu.Unlock()
	for _, l := range list {
		if l.masked != nil {
			_ = l.masked.flush() // write never fails
		}
	}
}

func (l *serviceLog) pack(z *zip.Writer, now time.Time) error {
	w, err := z.CreateHeader(&zip.FileHeader{Name: l.service + ".log", Method: zip.Deflate, Modified: now.UTC()})
	if err != nil {
		return err
	}
	if l.file != nil {
		if _, err := io.Copy(w, io.NewSectionReader(l.file, 0, l.size)); err != nil {
			return err
		}
	}
	if l.mark != "" {
		_, err = io.WriteString(w, "\n"+prefix+l.mark+"\n")
	}
	return err
}

// count is how many services have a log.
func (s *serviceLogs) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.list)
}

// close lets the files go. What services print from then on is dropped.
func (s *serviceLogs) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, l := range s.list {
		if l.file != nil {
			_ = l.file.Close() // it was only read since
			l.file = nil
		}
	}
}

// keepServiceLogs stores what the services printed, whatever became of the
// run, and returns its end with what became of that.
func (r *Runner) keepServiceLogs(ctx context.Context, end ci.End) ci.End {
	logs := r.story.logs
	n := logs.count()
	if n == 0 || ctx.Err() != nil {
		return end
	}
	limit := r.cfg.CollectTimeout
	if end.Outcome == ci.OutcomeAborted || end.Outcome == ci.OutcomeTimedOut {
		limit = r.cfg.HurriedCollectTimeout
	} else {
		late, cancel := context.WithCancel(ctx)
		defer cancel()
		defer r.control.onAsk(cancel)()
		ctx = late
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := &collector{runner: r, left: maxServiceLogs + 1<<20} // they take nothing of the results' room
	res := ci.Result{Name: ci.ServiceLogs, ContentType: "application/zip", Filename: ci.ServiceLogs + ".zip", Files: n}
	body, w := io.Pipe()
	packed := make(chan struct{})
	go func() {
		defer close(packed)
		w.CloseWithError(logs.pack(w, time.Now()))
	}()
	err := c.put(ctx, res, body)
	body.CloseWithError(io.ErrClosedPipe)
	<-packed
	return r.withResults(end, c.missing, err, errors.Is(ctx.Err(), context.DeadlineExceeded))
}
