package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"ci/e2e/rig"
)

// flood prints a million lines as fast as it can, and 10,000 a second from then on.
const flood = `yes "$(printf '%099d' 7)" | head -n 1000000; while :; do yes "$(printf '%099d' 8)" | head -n 1000; sleep 0.1; done`

const (
	paints  = 20
	presses = 300
	// settled is how long a screen is left alone between two keys.
	settled = 15 * time.Millisecond
)

// screen is figure t: the terminal UI on a terminal.
func (b *bench) screen(ctx context.Context) ([]figure, error) {
	s, _, err := b.warm(ctx, flood)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	paint, version, err := b.firstPaint(s)
	if err != nil {
		return nil, err
	}
	r, err := s.trigger(ctx, "bench")
	if err != nil {
		return nil, err
	}
	defer func() { // the run would go on for ever
		_ = s.call(ctx, "POST", fmt.Sprintf("/jobs/bench/runs/%d/abort", r.ID), map[string]any{}, nil)
		_ = s.call(ctx, "GET", fmt.Sprintf("/jobs/bench/runs/%d?wait=30s&until=done", r.ID), nil, nil)
	}()
	k, err := b.keys(s, fmt.Sprintf("bench/%d", r.ID))
	if err != nil {
		return nil, err
	}
	first, slow := median(paint), p99(k.ours)
	note := fmt.Sprintf("%d keys, median %s; 1,000,000 lines, 10,000 more each second; the floor is `cat` beside it", len(k.ours), ms(median(k.ours)))
	if len(k.before) > 0 {
		note += fmt.Sprintf("; before: %s, median %s", ms(p99(k.before)), ms(median(k.before)))
	}
	return []figure{
		{"t", "start to first paint, median", ms(first), ms(median(version)), float64(first.Milliseconds()), "≤ 100 ms", first <= 100*time.Millisecond, "the floor is `ci version` beside it"},
		{"t", "key to its frame, p99, console under follow", ms(slow), ms(p99(k.cat)), float64(slow.Microseconds()) / 1000, "≤ 16 ms", slow <= 16*time.Millisecond, note},
		{"t", "peak memory of ci, MiB", fmt.Sprintf("%.0f", k.peak), "", k.peak, "≤ 100", k.peak <= 100, ""},
	}, nil
}

// open starts the ci of a folder on a terminal.
func (b *bench) open(s *server, bin string, args ...string) (*rig.Pty, error) {
	cmd := exec.Command(filepath.Join(bin, "ci"), args...)
	cmd.Env = []string{"CI_URL=" + s.url, "CI_TOKEN=" + s.token, "TERM=xterm-256color", "HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	return rig.StartPty(cmd, 160, 50)
}

// firstPaint starts the terminal UI, and in turn the least that ci does.
func (b *bench) firstPaint(s *server) (paint, version []time.Duration, err error) {
	start := func(all *[]time.Duration, shows string, args ...string) error {
		p, err := b.open(s, b.bin, args...)
		if err != nil {
			return err
		}
		at, err := p.Expect(shows, 10*time.Second)
		*all = append(*all, at.Sub(p.Began))
		return errors.Join(err, p.Close())
	}
	for range paints {
		if err := start(&paint, "Agents"); err != nil {
			return nil, nil, err
		}
		if err := start(&version, "\n", "version"); err != nil {
			return nil, nil, err
		}
	}
	return paint, version, nil
}

// pressed is how long keys took to be seen.
type pressed struct {
	ours, before, cat []time.Duration
	peak              float64 // of our memory, in MiB
}

// keys opens the console of a run, waits for its million lines, and presses keys
// while it follows: each in turn with one that only cat answers, and with one of an earlier ci if
// there is one.
func (b *bench) keys(s *server, run string) (k pressed, err error) {
	cat, err := rig.StartPty(exec.Command("cat"), 80, 24)
	if err != nil {
		return k, err
	}
	defer func() { _ = cat.Close() }()
	bins := []string{b.bin}
	if b.before != "" {
		bins = append(bins, b.before)
	}
	var consoles []*rig.Pty
	for _, bin := range bins {
		p, err := b.follow(s, bin, run)
		if err != nil {
			return k, err
		}
		defer func() { _ = p.Close() }()
		consoles = append(consoles, p)
	}
	for i := range presses {
		for j, p := range consoles {
			took, err := pressAndClose(p, i)
			if err != nil {
				return k, err
			}
			if j == 0 {
				k.ours = append(k.ours, took)
			} else {
				k.before = append(k.before, took)
			}
		}
		echo, err := press(cat, "x\n", "x\r\nx", 10*time.Second) // the terminal's own echo comes first
		if err != nil {
			return k, err
		}
		k.cat = append(k.cat, echo)
		time.Sleep(settled)
	}
	k.peak, err = memoryOf(consoles[0].Cmd.Process.Pid, "VmHWM")
	return k, err
}

// follow opens a run's console, and waits until the million lines have passed.
func (b *bench) follow(s *server, bin, run string) (*rig.Pty, error) {
	p, err := b.open(s, bin, "tui", run)
	if err != nil {
		return nil, err
	}
	_, err = p.Expect("Overview", 10*time.Second)
	if err == nil { // the zeros of a line end with 8 once the million has passed
		_, err = press(p, "2", "000008", 3*time.Minute)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// pressAndClose opens something over the console, measures that, and closes it.
func pressAndClose(p *rig.Pty, turn int) (time.Duration, error) {
	open, shut, shows := "?", "x", "any other key closes"
	if turn%2 == 1 {
		open, shut, shows = "/", "\r", "search: " // not ESC: with the next key it may be read as Alt
	}
	took, err := press(p, open, shows, 10*time.Second)
	if err != nil {
		return 0, err
	}
	return took, p.Send(shut)
}

// press types keys and returns how long it took until text was written.
func press(p *rig.Pty, keys, text string, limit time.Duration) (time.Duration, error) {
	began := time.Now()
	if err := p.Send(keys); err != nil {
		return 0, err
	}
	at, err := p.Expect(text, limit)
	return at.Sub(began), err
}
