package ci

import "time"

// EventType says what an Event tells.
type EventType string

// The event types.
const (
	EventRunTriggered      EventType = "run.triggered"
	EventRunQueued         EventType = "run.queued"
	EventRunPreparing      EventType = "run.preparing"
	EventRunRunning        EventType = "run.running"
	EventRunCollecting     EventType = "run.collecting"
	EventRunDone           EventType = "run.done"
	EventRunAbortRequested EventType = "run.abort_requested"
)

// Event tells of one change of a run. It is written in the transaction that
// makes it true. Seq only grows in the order readers see.
type Event struct {
	Seq     int64
	Type    EventType
	Run     int64
	Job     string
	Phase   Phase
	Outcome Outcome
	At      time.Time
}
