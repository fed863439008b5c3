package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ci/pkg/api/convert"
	"ci/pkg/ci"
)

// OpenResult reads one result. size is -1 where the server does not say.
func (c *Client) OpenResult(ctx context.Context, job string, id int64, name string) (body io.ReadCloser, contentType, filename string, size int64, err error) {
	var resp *http.Response
	err = c.retry(ctx, func() (after time.Duration, err error) {
		resp, after, err = c.get(ctx, convert.ResultPath(job, id, name), nil, map[string]string{"Accept-Encoding": "identity"})
		return after, err
	})
	if err != nil {
		return nil, "", "", 0, err
	}
	_, params, _ := mime.ParseMediaType(resp.Header.Get("Content-Disposition"))
	return resp.Body, resp.Header.Get("Content-Type"), params["filename"], resp.ContentLength, nil
}

// ResultOpener is the part of a Client that reads results.
type ResultOpener interface {
	OpenResult(ctx context.Context, job string, id int64, name string) (body io.ReadCloser, contentType, filename string, size int64, err error)
}

// CopyResult copies a result's bytes to w and checks them against the SHA-256
// that the server has told of them: an error of ci.CodeInternal says that they
// differ. What w has got is then worth nothing.
func CopyResult(ctx context.Context, c ResultOpener, ref ci.RunRef, r ci.Result, w io.Writer) error {
	body, _, _, _, err := c.OpenResult(ctx, ref.Job, ref.Run, r.Name)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read from
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), body); err != nil {
		return fmt.Errorf("result %s of %s broke off: %w", r.Name, ref, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); r.SHA256 != "" && got != r.SHA256 {
		return ci.Errorf(ci.CodeInternal, "result %s of %s arrived damaged: its SHA-256 is %s, the server's is %s; fetch it again", r.Name, ref, got, r.SHA256)
	}
	return nil
}

// Console reads a run's console from byte from on. With follow it goes on
// until the run is done. After a cut connection it goes on at the byte where it was.
func (c *Client) Console(ctx context.Context, job string, id, from int64, follow bool) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	r := &console{client: c, ctx: ctx, cancel: cancel, path: convert.ResultPath(job, id, ci.ConsoleResult), at: from, follow: follow}
	if err := r.open(); err != nil {
		cancel()
		return nil, err
	}
	return r, nil
}

// ConsoleTimes says when the parts of a run's console that hold bytes at or after
// from were stored.
func (c *Client) ConsoleTimes(ctx context.Context, job string, id, from int64) (times ci.ConsoleTimes, err error) {
	q := url.Values{}
	if from > 0 {
		q.Set("offset", strconv.FormatInt(from, 10))
	}
	err = c.retry(ctx, func() (time.Duration, error) {
		resp, after, err := c.get(ctx, convert.ResultPath(job, id, ci.ConsoleResult)+"/times", q, nil)
		if err != nil {
			return after, err
		}
		defer func() { _ = resp.Body.Close() }() // it was only read
		times = nil
		for lines := json.NewDecoder(io.LimitReader(resp.Body, maxTimes)); ; {
			var t ci.ConsoleTime
			switch err := lines.Decode(&t); {
			case errors.Is(err, io.EOF):
				return 0, nil
			case err != nil:
				return 0, c.fault(ctx, fmt.Errorf("the times of a console broke off: %w", err))
			}
			times = append(times, t)
		}
	})
	return times, err
}

// maxTimes is how many bytes of times are read: a week of them.
const maxTimes = 64 << 20

type console struct {
	client *Client
	ctx    context.Context // of the whole reading; Close ends it
	cancel context.CancelFunc
	path   string
	at     int64 // the next byte
	follow bool
	body   io.ReadCloser
	idle   int // connections in a row that brought nothing
}

// open connects, again and again while the server is away.
func (r *console) open() error {
	q := url.Values{}
	if r.at > 0 {
		q.Set("offset", strconv.FormatInt(r.at, 10))
	}
	if r.follow {
		q.Set("follow", "1")
	}
	return r.client.retry(r.ctx, func() (time.Duration, error) {
		resp, after, err := r.client.get(r.ctx, r.path, q, map[string]string{"Accept": "text/plain", "Accept-Encoding": "identity"})
		if err == nil {
			r.body = resp.Body
		}
		return after, err
	})
}

// Read reads on.
func (r *console) Read(p []byte) (int, error) {
	for {
		n, err := r.body.Read(p)
		r.at += int64(n)
		if n > 0 {
			r.idle = 0
			return n, nil
		}
		if err == nil {
			continue
		}
		if again := r.again(err); again != nil {
			return 0, again
		}
	}
}

// maxIdle is how often in a row a connection may end without a byte.
const maxIdle = 10

// again connects anew after err, or returns how the reading ends. A server
// that stops ends streams properly, so the end of a followed console counts only when the run is done.
func (r *console) again(err error) error {
	_ = r.body.Close() // it has ended already
	if r.ctx.Err() != nil {
		return r.client.fault(r.ctx, r.ctx.Err())
	}
	if errors.Is(err, io.EOF) {
		if !r.follow {
			return io.EOF
		}
		sealed, serr := r.sealed()
		if serr != nil {
			return serr
		}
		if sealed {
			return io.EOF
		}
	}
	if r.idle++; r.idle > maxIdle {
		return ci.Errorf(ci.CodeUnavailable, "the console broke off at byte %d, %d times in a row: %w", r.at, maxIdle, err)
	}
	if err := sleep(r.ctx, jitter(firstPause)); err != nil {
		return r.client.fault(r.ctx, err)
	}
	if err := r.open(); err != nil {
		return err
	}
	return nil
}

// sealed says whether all that will ever be there was read.
func (r *console) sealed() (bool, error) {
	var sealed bool
	err := r.client.retry(r.ctx, func() (time.Duration, error) {
		q := url.Values{"offset": {strconv.FormatInt(r.at, 10)}}
		resp, after, err := r.client.get(r.ctx, r.path, q, map[string]string{"Accept-Encoding": "identity"})
		if err != nil {
			return after, err
		}
		sealed = resp.Header.Get("X-Console-Sealed") == "true" && resp.ContentLength == 0
		return 0, resp.Body.Close()
	})
	return sealed, err
}

// Close ends the reading, also one that waits.
func (r *console) Close() error {
	r.cancel()
	return r.body.Close()
}
