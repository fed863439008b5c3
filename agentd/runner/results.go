package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"ci/pkg/ci"
)

// spoolMemory is how much of a result is held in memory, in bytes; more goes to a file.
const spoolMemory = 256 << 10

// collect packs and uploads the results and returns the end of the run with
// what became of them. A script that succeeded without its results being
// stored is an error: nobody may take it for a success.
func (r *Runner) collect(ctx context.Context, end ci.End) ci.End {
	r.report(ctx, "tell that the script has ended", func(ctx context.Context) error {
		return r.cfg.Uplink.Collecting(ctx, r.claim, end.ExitCode)
	})
	short := end.Outcome == ci.OutcomeAborted || end.Outcome == ci.OutcomeTimedOut
	limit := r.cfg.CollectTimeout
	if short {
		limit = r.cfg.HurriedCollectTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if !short {
		defer r.control.onAsk(cancel)()
	}
	c := &collector{runner: r, left: r.work.MaxResult}
	missing, err := r.box.Collect(ctx, r.spec().Results, func(res ci.Result, body io.Reader) error {
		return c.put(ctx, res, body)
	})
	missing = append(missing, c.missing...)
	if cause, why := r.control.asked(); cause == causeAbort && !short {
		aborted := r.cutShort(cause, why)
		aborted.ExitCode = end.ExitCode
		return aborted
	}
	if c.err != nil {
		err = c.err // what the driver says then only repeats it
	}
	return r.withResults(end, missing, err, errors.Is(ctx.Err(), context.DeadlineExceeded))
}

// withResults adds what became of the results to the reason.
func (r *Runner) withResults(end ci.End, missing []Missing, err error, late bool) ci.End {
	var notes []string
	bad := false
	for _, m := range missing {
		note := fmt.Sprintf("Result %s is missing: %s.", m.Name, strings.TrimSuffix(m.Reason, "."))
		r.console.say("result %s is missing: %s", m.Name, m.Reason)
		notes = append(notes, note)
		bad = bad || m.TooLarge
	}
	if err != nil {
		bad = true
		note := sentence("Results could not be stored: ", err)
		if late {
			note = "Results could not be stored in the time that there is for it: " + sentence("", err)
		}
		r.console.say("%s", note)
		notes = append(notes, note)
	}
	if len(notes) == 0 {
		return end
	}
	if bad && end.Outcome == ci.OutcomeSucceeded {
		end.Outcome = ci.OutcomeError
		end.Reason = "The script succeeded, but not all of its results could be stored."
	}
	end.Reason += " " + strings.Join(notes, " ")
	return end
}

// collector takes the packed results of one run from the driver.
type collector struct {
	runner  *Runner
	left    int64 // bytes that may still be stored
	missing []Missing
	err     error
	renamed int // results whose name a secret was in
}

// put uploads one result. It is read to its end first, so that an upload
// which fails half-way can be repeated.
func (c *collector) put(ctx context.Context, res ci.Result, body io.Reader) error {
	r := c.runner
	res.Run = r.claim.Run
	c.maskResult(&res)
	s, err := readSpool(r.cfg.Dir, io.LimitReader(body, c.left+1))
	if err != nil {
		c.err = fmt.Errorf("result %s could not be read: %w", res.Name, err)
		return c.err
	}
	defer s.close()
	if s.size > c.left {
		c.missing = append(c.missing, Missing{
			Name: res.Name, TooLarge: true,
			Reason: "all results together are over the limit of " + ci.Bytes(r.work.MaxResult),
		})
		_, err := io.Copy(io.Discard, body)
		return err
	}
	err = r.retry(ctx, "store a result", func(ctx context.Context) error {
		_, err := r.cfg.Uplink.PutResult(ctx, r.claim, res, s.reader())
		return err
	}, ci.CodeInvalid, ci.CodeTooLarge)
	if err != nil {
		c.err = fmt.Errorf("result %s could not be uploaded: %w", res.Name, err)
		return c.err
	}
	c.left -= s.size
	r.console.say("result %s: stored %s", res.Name, ci.Bytes(s.size))
	return nil
}

// spool is a whole result, in memory or in a file that has no name any more.
type spool struct {
	data []byte
	file *os.File
	size int64
}

// readSpool reads body to its end.
func readSpool(dir string, body io.Reader) (*spool, error) {
	data, err := io.ReadAll(io.LimitReader(body, spoolMemory))
	if err != nil {
		return nil, err
	}
	if len(data) < spoolMemory {
		return &spool{data: data, size: int64(len(data))}, nil
	}
	f, err := unnamed(dir, "result-*")
	if err != nil {
		return nil, noRoom(dir, err)
	}
	n, err := io.Copy(f, io.MultiReader(bytes.NewReader(data), body))
	if err != nil {
		return nil, errors.Join(noRoom(dir, err), f.Close())
	}
	return &spool{file: f, size: n}, nil
}

// noRoom says what to do when the disk has no bytes or no inodes left.
func noRoom(dir string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("the agent's disk is full; free some space in %s, where results wait for their upload: %w", dir, err)
	}
	return err
}

// reader reads the result from its beginning.
func (s *spool) reader() io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.data)
	}
	return io.NewSectionReader(s.file, 0, s.size)
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close() // it was only read since
	}
}
