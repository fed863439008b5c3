// Package junit reads JUnit XML, the format that nearly every test runner can
// write and nobody has specified. It follows what Ant, Maven Surefire, pytest,
// gtest and the reporters of other languages really print.
//
// The files come out of a run, so they are a stranger's: size, depth, number
// of cases and length of texts are bounded, and entities are never expanded.
package junit

import "time"

// Limits of what Parse reads.
const (
	MaxBytes   = 32 << 20 // of one file, and of all files of a zip together
	MaxDepth   = 64       // elements inside each other
	MaxCases   = 100_000
	MaxMessage = 4 << 10  // bytes of a case's message; the rest is dropped
	MaxDetails = 64 << 10 // bytes of a case's details; the rest is dropped
)

// Status says how a test case ended.
type Status string

// The statuses.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"  // an assertion did not hold
	Errored Status = "errored" // the test itself broke
	Skipped Status = "skipped"
)

// Case is one test case.
type Case struct {
	// Suites are the names of the suites around it, outermost first.
	Suites []string
	Class  string
	Name   string
	// File and Line say where the test is written; "" and 0 when the report doesn't.
	File     string
	Line     int
	Status   Status
	Duration time.Duration
	// Message is the sentence, Details the stack trace or diff of what went wrong.
	Message string
	Details string
	// Flaky says that it passed after it had failed.
	Flaky bool
}

// Summary counts cases by status.
type Summary struct {
	Passed, Failed, Errored, Skipped, Flaky int
	// Duration is the sum over all cases; they may have run side by side.
	Duration time.Duration
}

// Total is the number of cases.
func (s Summary) Total() int { return s.Passed + s.Failed + s.Errored + s.Skipped }

// Report is what one file, or all files of a zip, say.
type Report struct {
	// Cases are in the order of the files.
	Cases []Case
}

// Summary counts the cases. What a report says of itself in its attributes is
// not used: it is often wrong.
func (r *Report) Summary() Summary {
	var s Summary
	for i := range r.Cases {
		c := &r.Cases[i]
		switch c.Status {
		case Failed:
			s.Failed++
		case Errored:
			s.Errored++
		case Skipped:
			s.Skipped++
		default:
			s.Passed++
		}
		if c.Flaky {
			s.Flaky++
		}
		s.Duration += c.Duration
	}
	return s
}

// Unsuccessful returns the cases that failed or broke, in order.
func (r *Report) Unsuccessful() []Case {
	var bad []Case
	for _, c := range r.Cases {
		if c.Status == Failed || c.Status == Errored {
			bad = append(bad, c)
		}
	}
	return bad
}
