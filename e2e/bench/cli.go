package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// coldRounds is how often figure j starts the program.
const coldRounds = 40

// coldList is figure j: `ci ls` from its start to its end, against the server's own time for the same list.
func (b *bench) coldList(ctx context.Context) ([]figure, error) {
	s, err := b.start(ctx, "", "--agent", "off")
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if err := s.putJob(ctx, "bench", "true"); err != nil {
		return nil, err
	}
	for range 30 {
		if _, err := s.trigger(ctx, "bench"); err != nil {
			return nil, err
		}
	}
	var whole, served []time.Duration
	for range coldRounds {
		// Each asks over a connection of its own, as a program does that has just been started.
		s.http.CloseIdleConnections()
		began := time.Now()
		if err := s.call(ctx, http.MethodGet, "/runs?pageSize=30", nil, nil); err != nil {
			return nil, err
		}
		served = append(served, time.Since(began))
		cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "ci"), "ls")
		cmd.Env = append(os.Environ(), "CI_URL="+s.url, "CI_TOKEN="+s.token)
		began = time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ci ls: %w: %s", err, out)
		}
		whole = append(whole, time.Since(began))
	}
	o, f := median(whole), median(served)
	over := o - f
	return []figure{{
		"j", "ci ls, cold, over the server's own time", ms(o), ms(f), float64(over.Milliseconds()), "≤ 50 ms", over <= 50*time.Millisecond,
		fmt.Sprintf("median of %d", coldRounds),
	}}, nil
}
