package convert

import (
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ToEvent converts an event.
func ToEvent(e *ci.Event) *civ1.Event {
	return &civ1.Event{
		Seq:     float64(e.Seq),
		Type:    string(e.Type),
		Run:     uint32(e.Run),
		Job:     e.Job,
		Phase:   string(e.Phase),
		Outcome: string(e.Outcome),
		At:      ToTime(e.At),
	}
}

// FromEvent is ToEvent's inverse.
func FromEvent(m *civ1.Event) ci.Event {
	return ci.Event{
		Seq:     int64(m.GetSeq()),
		Type:    ci.EventType(m.GetType()),
		Run:     int64(m.GetRun()),
		Job:     m.GetJob(),
		Phase:   ci.Phase(m.GetPhase()),
		Outcome: ci.Outcome(m.GetOutcome()),
		At:      FromTime(m.GetAt()),
	}
}
