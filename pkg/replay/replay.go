// Package replay carries out the programs of pipelines. A program is a text in
// Starlark. It is a pure function: given the text, the parameters and what has
// come of the calls it made before, it runs from its start until it needs to
// know something that is not known yet, and says which calls it made for the
// first time and what it waits for. Whoever asks carries those calls out,
// records what comes of them, and asks again. So a pipeline survives whatever
// dies, and costs nothing while it waits.
//
// A program has nothing but its calls to learn something of the world: no
// clock, no randomness, no files. The order of dictionaries and sets is that of
// insertion. A program that makes other calls than were recorded is ended with
// an error, never continued.
package replay

import (
	"encoding/json"
	"time"

	"ci/pkg/ci"
)

// Call is one call that a program has made, with what is known of it.
type Call struct {
	ID   string      `json:"id"`
	Kind ci.CallKind `json:"kind"`
	// Title names it for people.
	Title string `json:"title"`
	// Args are canonical JSON: the same arguments are the same bytes.
	Args  json.RawMessage `json:"args"`
	After []string        `json:"after"`
	Line  int             `json:"line"`
	Done  bool            `json:"done"`
	// Value is what came of it: a RunValue, ResultValue, AnswerValue, AnyValue
	// or text. A run that was triggered and is not done has one already, with its id.
	Value json.RawMessage `json:"value,omitempty"`
	// Order tells which of several calls was done first: the smaller one.
	Order int64 `json:"order,omitempty"`
}

// The arguments of calls, as Call.Args holds them.
type (
	// RunArgs are those of run.
	RunArgs struct {
		Job        string            `json:"job"`
		Branch     string            `json:"branch,omitempty"`
		Commit     string            `json:"commit,omitempty"`
		Parameters map[string]string `json:"parameters,omitempty"`
		Priority   ci.Priority       `json:"priority,omitempty"`
		Name       string            `json:"name,omitempty"`
	}
	// ResultArgs are those of result, of the run Job/ID that the call Run triggered.
	ResultArgs struct {
		Run  string `json:"run"`
		Job  string `json:"job"`
		ID   int64  `json:"id"`
		Name string `json:"name"`
	}
	// AbortArgs are those of abort.
	AbortArgs struct {
		Run string `json:"run"`
	}
	// SleepArgs are those of sleep.
	SleepArgs struct {
		For ci.Duration `json:"for"`
	}
	// ApproveArgs are those of approve. Timeout 0 waits for as long as the pipeline may last.
	ApproveArgs struct {
		Question string      `json:"question"`
		Timeout  ci.Duration `json:"timeout,omitempty"`
	}
	// AnyArgs are those of any: the ids of run calls.
	AnyArgs struct {
		Of []string `json:"of"`
	}
)

// The values of calls, as Call.Value holds them.
type (
	// RunValue is what is known of a run. Outcome is "" until it is done. ID is 0
	// for one that was refused; then Outcome is error and Reason says why.
	RunValue struct {
		ID       int64      `json:"id"`
		Outcome  ci.Outcome `json:"outcome,omitempty"`
		Reason   string     `json:"reason,omitempty"`
		ExitCode *int       `json:"exitCode,omitempty"`
		Commit   string     `json:"commit,omitempty"`
		Branch   string     `json:"branch,omitempty"`
	}
	// ResultValue is a result. Missing says in a sentence why there is none.
	ResultValue struct {
		Missing     string `json:"missing,omitempty"`
		ContentType string `json:"contentType,omitempty"`
		Size        int64  `json:"size"`
		SHA256      string `json:"sha256,omitempty"`
		// Text is the result when it is UTF-8 and no longer than MaxResultText.
		Text *string `json:"text,omitempty"`
		// Tests sum up a zip of JUnit files.
		Tests *Tests `json:"tests,omitempty"`
	}
	// Tests sum up JUnit results.
	Tests struct {
		Total   int `json:"total"`
		Failed  int `json:"failed"`
		Skipped int `json:"skipped"`
		// Failures are the names of failed tests, MaxFailures at most.
		Failures []string `json:"failures,omitempty"`
	}
	// AnswerValue is the answer to an approval. By is "" when nobody gave one in time.
	AnswerValue struct {
		Approved bool      `json:"approved"`
		By       string    `json:"by,omitempty"`
		Note     string    `json:"note,omitempty"`
		At       time.Time `json:"at"`
	}
	// AnyValue says which run call was first to succeed.
	AnyValue struct {
		First string `json:"first"`
	}
)

// Limits of what programs may do. Those of steps and memory are Budget's.
const (
	MaxCalls      = 2000
	MaxRuns       = 500
	MaxArgs       = 64 << 10
	MaxPrint      = 4 << 10
	MaxResultText = 64 << 10
	MaxFailures   = 50
	MaxParameters = 64
	MaxSleep      = 30 * 24 * time.Hour
)

// MaxSteps is how many steps of Starlark one replay may take. A replay begins
// at the program's start, so these are the steps of the program as a whole.
const MaxSteps = 5_000_000

// Input is all that a program depends on.
type Input struct {
	// Name is the pipeline's, for positions in messages.
	Name    string `json:"name"`
	Program string `json:"program"`
	// Parameters are as they were given; the program's params() fills in defaults.
	Parameters map[string]string `json:"parameters"`
	// Calls are those made so far, in order.
	Calls []Call `json:"calls"`
	// Now is what a now() gets that was not made before.
	Now time.Time `json:"now"`
	// Probe stops the program at its first call, once its parameters are known.
	Probe bool `json:"probe,omitempty"`
	// Declared, with Probe, takes the parameters as declared, without values.
	Declared bool `json:"declared,omitempty"`
}

// Output is what one replay has found out.
type Output struct {
	// New are calls made for the first time. any, now and print are done already.
	New []Call `json:"new,omitempty"`
	// Waiting are the ids of calls that have to be done before the program goes on.
	Waiting []string `json:"waiting,omitempty"`
	// Outcome is how the program ended; "" while it waits. Of a pipeline that
	// fails some calls may still be under way.
	Outcome ci.Outcome `json:"outcome,omitempty"`
	// Reason says why, with the program's line where one is to blame.
	Reason string `json:"reason,omitempty"`
	// Fault says that the program itself is wrong, as opposed to what it found: a
	// syntax error, a wrong argument, a limit.
	Fault bool `json:"fault,omitempty"`
	// Fields are the parameters or lines that are wrong.
	Fields []ci.Field `json:"fields,omitempty"`
	// Parameters are what params() declares.
	Parameters []ci.PipelineParameter `json:"parameters,omitempty"`
	Steps      uint64                 `json:"steps"`
}

// Ended says whether the program has come to its end.
func (o *Output) Ended() bool { return o.Outcome != "" }

// Err is the error of an Output that shows a fault; nil without one.
func (o *Output) Err() error {
	if !o.Fault {
		return nil
	}
	return &ci.Error{Code: ci.CodeInvalid, Message: o.Reason, Fields: o.Fields}
}
