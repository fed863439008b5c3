package ci

import (
	"sort"
	"time"
)

// Chunk is one stored piece of a run's console: the index entry, and the bytes
// themselves when they are few.
type Chunk struct {
	Run int64
	// Offset and Length are of the plain bytes.
	Offset int64
	Length int64
	// Data is the zstd-compressed piece, nil when Key names an object that holds it.
	Data []byte
	Key  string
	// At is when the piece was stored.
	At time.Time
}

// ConsoleTime says when a part of a console was stored. A part is what a run
// printed within a second, or less, so that the time of a line is known to about a second; it is
// later where the agent could not reach the server.
type ConsoleTime struct {
	// Offset is the part's first byte, Length how many it has.
	Offset int64     `json:"offset"`
	Length int64     `json:"length"`
	At     time.Time `json:"at"`
}

// ConsoleTimes are the times of a console, ascending, from any part on, without a gap.
type ConsoleTimes []ConsoleTime

// End is the first byte that they say nothing of; 0 when there are none.
func (ts ConsoleTimes) End() int64 {
	if len(ts) == 0 {
		return 0
	}
	last := ts[len(ts)-1]
	return last.Offset + last.Length
}

// Of is when the byte at offset was stored. ok is false when they don't say.
func (ts ConsoleTimes) Of(offset int64) (at time.Time, ok bool) {
	i := sort.Search(len(ts), func(i int) bool { return ts[i].Offset > offset })
	if i == 0 || offset >= ts.End() {
		return time.Time{}, false
	}
	return ts[i-1].At, true
}
