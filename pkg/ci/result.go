package ci

import "time"

// Result is one stored output of a run: a file, or a zip of several.
type Result struct {
	Run         int64
	Name        string
	ContentType string // IANA media type
	Size        int64  // bytes
	SHA256      string // hex
	// Filename is what a download is called, for example "junit.zip" or "app.tar".
	Filename  string
	Files     int // how many files it holds; 1 for a file as it is
	CreatedAt time.Time
	// ExpiredAt is when its bytes went because they are kept no longer; zero while they are there.
	ExpiredAt time.Time
}

// ConsoleResult is the name under which the console is served among the results.
const ConsoleResult = "console"
