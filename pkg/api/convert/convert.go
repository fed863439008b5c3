// Package convert turns the words of pkg/ci into messages of the wire and
// back. It is the only place that knows both shapes. A test fills every field
// of every word and compares what comes back, so a forgotten field is a red test.
package convert

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// ToTime returns nil for the zero time: absent on the wire.
func ToTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// FromTime returns UTC, and the zero time for an absent one.
func FromTime(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func toDuration[D ~int64](d D) *durationpb.Duration { return durationpb.New(time.Duration(d)) }

// each converts a list. nil stays nil.
func each[A, B any](list []A, f func(*A) B) []B {
	if list == nil {
		return nil
	}
	out := make([]B, len(list))
	for i := range list {
		out[i] = f(&list[i])
	}
	return out
}

// eachFrom converts a list of messages. nil stays nil.
func eachFrom[A, B any](list []A, f func(A) B) []B {
	if list == nil {
		return nil
	}
	out := make([]B, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

// text makes text that came from elsewhere (an engine's error, say) fit for
// the wire, which refuses anything but UTF-8.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
