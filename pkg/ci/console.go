package ci

import "time"

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
