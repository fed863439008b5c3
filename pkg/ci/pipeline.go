package ci

import (
	"encoding/json"
	"strconv"
	"time"
)

// Pipeline is a program that triggers runs, waits for them and decides what
// comes next. Its text is Starlark; pkg/replay carries it out.
type Pipeline struct {
	Name string `json:"name"`
	// Program is the text, UTF-8, at most MaxProgram bytes.
	Program string `json:"program"`
	// Source says where the text was read from; nil when it came by itself.
	Source *PipelineSource `json:"source,omitempty"`
	// Parameters are what the program's params() declares.
	Parameters []PipelineParameter `json:"parameters"`
	// Version grows with each replace; it is the pipeline's ETag. The first is 1.
	// A run of a pipeline keeps the version that it began with.
	Version   int64     `json:"version"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
	// UpdatedBy is the name of the token that put this version.
	UpdatedBy string `json:"updatedBy"`
}

// MaxProgram is the longest text of a pipeline, in bytes.
const MaxProgram = 64 << 10

// PipelineSource is one file of a repository at one commit.
type PipelineSource struct {
	URL    string `json:"url"`
	Commit string `json:"commit"`
	Path   string `json:"path"`
}

// PipelineParameter is one input of a pipeline.
type PipelineParameter struct {
	Name string `json:"name"`
	// Type is "string", "int" or "bool".
	Type     string `json:"type"`
	Default  string `json:"default"`
	Required bool   `json:"required"`
}

// PipelineRun is one execution of a pipeline, from its trigger to its outcome.
type PipelineRun struct {
	ID       int64  `json:"id"`
	Pipeline string `json:"pipeline"`
	// Version is the pipeline's that it began with and stays with.
	Version int64   `json:"version"`
	Status  Status  `json:"status"`
	Outcome Outcome `json:"outcome,omitempty"` // "" until done
	// Reason says in a sentence why it ended so, or while it is in progress what keeps it from going on.
	Reason      string            `json:"reason,omitempty"`
	Parameters  map[string]string `json:"parameters"`
	TriggeredBy string            `json:"triggeredBy"`
	// RerunOf is the run whose recorded successes this one reuses; 0 for none.
	RerunOf int64 `json:"rerunOf,omitempty"`
	// Trace is who triggered it in a distributed trace; absent when nobody said, and no traces are sent.
	Trace            *Trace    `json:"trace,omitempty"`
	Triggered        time.Time `json:"triggered"`
	AbortRequestedAt time.Time `json:"abortRequestedAt,omitzero"`
	Done             time.Time `json:"done,omitzero"`
	// Calls are what its program has done so far, in order: the nodes of its graph.
	// Lists leave them out.
	Calls []PipelineCall `json:"calls,omitempty"`
}

// OwnTrace is where what it triggers comes from in its trace: its own span where
// spans are sent of it, else who triggered it; nil for nowhere.
func (r *PipelineRun) OwnTrace() *Trace {
	if r.Trace == nil || !r.Trace.Recorded {
		return r.Trace
	}
	return r.Trace.Part("pipeline", r.Pipeline, strconv.FormatInt(r.ID, 10))
}

// Finished says whether the run has ended.
func (r *PipelineRun) Finished() bool { return r.Status == StatusDone }

// CallKind says what a call of a pipeline's program does.
type CallKind string

// The kinds of calls.
const (
	CallRun     CallKind = "run"     // triggers a run and sees it to its end
	CallResult  CallKind = "result"  // reads a result of a run
	CallSleep   CallKind = "sleep"   // waits for some time
	CallApprove CallKind = "approve" // waits for somebody's yes or no
	CallAny     CallKind = "any"     // notes which of several runs was first
	CallAbort   CallKind = "abort"   // asks for a run's end
	CallNow     CallKind = "now"     // notes the time
	CallPrint   CallKind = "print"   // notes a line for people
)

// PipelineCall is one call of a pipeline's program, with what came of it. It
// happens once, however often the program is replayed.
type PipelineCall struct {
	// ID is the call's place in the program's course: "3", or "4.0.1" for the
	// second call of the first function that call 4 carries out.
	ID   string   `json:"id"`
	Kind CallKind `json:"kind"`
	// Title names it for people: a job, a result, a question.
	Title string          `json:"title"`
	Args  json.RawMessage `json:"args"`
	// After are the calls whose ends the program knew when it made this one: the
	// edges of the graph that lead here.
	After []string `json:"after"`
	// Line is the line of the program that made it.
	Line int  `json:"line"`
	Done bool `json:"done"`
	// Outcome is a run's, or succeeded or failed for others; "" until done.
	Outcome Outcome `json:"outcome,omitempty"`
	Reason  string  `json:"reason,omitempty"`
	// Run is the run that it triggered or is about.
	Run *RunRef `json:"run,omitempty"`
	// By is who answered an approval.
	By string `json:"by,omitempty"`
	// Reused says that it was not carried out: its outcome is that of the run before.
	Reused bool            `json:"reused,omitempty"`
	Value  json.RawMessage `json:"value,omitempty"`
	Began  time.Time       `json:"began"`
	Ended  time.Time       `json:"ended,omitzero"`
}

// Validate checks everything but the program's meaning, which pkg/replay knows.
func (p *Pipeline) Validate() error {
	var f faults
	checkName(&f, "name", p.Name)
	if p.Program == "" {
		f.add("program", "is missing; it is the text of the pipeline")
	}
	checkText(&f, "program", p.Program, MaxProgram)
	if s := p.Source; s != nil {
		checkText(&f, "source.url", s.URL, 2<<10)
		if !ValidCommit(s.Commit) {
			f.add("source.commit", "%q is not a full commit id: 40 (or 64) lower-case hexadecimal digits", s.Commit)
		}
		if err := CheckRepoPath(s.Path); err != "" {
			f.add("source.path", "%q %s", s.Path, err)
		}
	}
	return f.err("the pipeline")
}

// Progress counts what has happened: calls that have begun, those that were
// triggered, and those that have ended. It only grows while the run is in progress.
func (r *PipelineRun) Progress() int {
	n := len(r.Calls)
	for i := range r.Calls {
		if r.Calls[i].Run != nil {
			n++
		}
		if r.Calls[i].Done {
			n++
		}
	}
	return n
}
