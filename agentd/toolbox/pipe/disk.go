package pipe

import "time"

// Watch is the first frame of a Watching stream, down: when init measures what
// the run has written.
type Watch struct {
	// Step is by how many bytes the use of a disk grows between two looks before it is measured whose they are.
	Step int64 `json:"step"`
	// Floor is how many bytes of a disk are free when every look is reported.
	Floor int64 `json:"floor"`
	// Every is when it is measured although no disk got fuller, since others may have made room; 0 is two minutes.
	Every time.Duration `json:"every,omitempty"`
}

// Used comes up the same stream whenever init has measured.
type Used struct {
	// Bytes are on disks: what the container has written since its start, and all of its volumes.
	Bytes int64 `json:"bytes"`
	// Free is what is left on the fullest of these disks.
	Free int64 `json:"free"`
	// Blind says why not all could be seen; "" when all was.
	Blind string `json:"blind,omitempty"`
}
