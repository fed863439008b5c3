package rest

import (
	"context"
	"encoding/json"
	"net/http"

	"ci/pkg/ci"
)

// timesPage is how many times are in memory at once.
const timesPage = 2000

// serveTimes sends an object a line for each part of the console that holds
// bytes at or after ?offset: where the part begins, and when it was stored.
func (s *server) serveTimes(w *recorder, r *http.Request, vars []string) error {
	run, err := s.readable(r, vars[0], vars[1])
	if err != nil {
		return err
	}
	if err := run.ConsoleExpired(); err != nil {
		return err
	}
	from, err := timesFrom(r)
	if err != nil {
		return err
	}
	page, err := s.timesOf(r.Context(), run, from)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	if run.Done() {
		keep(h)
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	out := s.newStream(w)
	for {
		if _, err := out.push(timeLines(page)); err != nil {
			return nil // the reader is gone
		}
		if len(page) < timesPage {
			return nil
		}
		if page, err = s.timesOf(r.Context(), run, ci.ConsoleTimes(page).End()); err != nil {
			return err
		}
	}
}

// timesOf is a page of times. The last one of a done run is that only if the
// console is still kept: else there were more.
func (s *server) timesOf(ctx context.Context, run *ci.Run, from int64) ([]ci.ConsoleTime, error) {
	page, err := s.Console.Times(ctx, run.ID, from, timesPage)
	if err != nil || len(page) == timesPage || !run.Done() {
		return page, err
	}
	return page, s.consoleWent(ctx, run)
}

func timesFrom(r *http.Request) (int64, error) {
	values, err := parseQuery(r.URL.RawQuery, []string{"offset"})
	if err != nil || values["offset"] == "" {
		return 0, err
	}
	if !digits(values["offset"]) {
		return 0, queryError([]ci.Field{{Path: "offset", Message: "is not a number of bytes"}})
	}
	return number(values["offset"]), nil
}

func timeLines(page []ci.ConsoleTime) []byte {
	var out []byte
	for _, t := range page {
		line, _ := json.Marshal(t) // a number and a time always are JSON
		out = append(append(out, line...), '\n')
	}
	return out
}
