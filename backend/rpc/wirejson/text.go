package wirejson

import (
	"fmt"
	"time"
)

// ParseTime reads RFC 3339, as bodies and queries have it.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("is not a time as RFC 3339 writes it, for example 2030-01-31T12:00:00Z")
	}
	return t.UTC(), nil
}

// ParseDuration reads "90s", and what else Go reads as a duration ("1h30m").
// The wire writes seconds alone.
func ParseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf(`is not a duration, for example "90s" or "1h30m"`)
	}
	return d, nil
}
