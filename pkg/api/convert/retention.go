package convert

import (
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ToKeep returns nil for nil.
func ToKeep(k *ci.Keep) *civ1.Keep {
	if k == nil {
		return nil
	}
	return &civ1.Keep{Runs: toLimits(k.Runs), Results: toLimits(k.Results), Console: toLimits(k.Console)}
}

// FromKeep returns nil for nil.
func FromKeep(m *civ1.Keep) *ci.Keep {
	if m == nil {
		return nil
	}
	return &ci.Keep{Runs: fromLimits(m.GetRuns()), Results: fromLimits(m.GetResults()), Console: fromLimits(m.GetConsole())}
}

func toLimits(l *ci.Limits) *civ1.Limits {
	if l == nil {
		return nil
	}
	return &civ1.Limits{Age: toDuration(l.Age), Count: uint32(l.Count), Bytes: float64(l.Bytes)}
}

func fromLimits(m *civ1.Limits) *ci.Limits {
	if m == nil {
		return nil
	}
	return &ci.Limits{Age: ci.Duration(m.GetAge().AsDuration()), Count: int(m.GetCount()), Bytes: int64(m.GetBytes())}
}

// ToRetentionPlan converts what would go.
func ToRetentionPlan(p *ci.RetentionPlan) *civ1.RetentionPlan {
	return &civ1.RetentionPlan{
		Runs: toAmount(p.Runs), Results: toAmount(p.Results), Console: toAmount(p.Console), Kept: toAmount(p.Kept),
		Items: each(p.Items, toExpiry), More: p.More,
	}
}

// FromRetentionPlan is ToRetentionPlan's inverse.
func FromRetentionPlan(m *civ1.RetentionPlan) *ci.RetentionPlan {
	return &ci.RetentionPlan{
		Runs: fromAmount(m.GetRuns()), Results: fromAmount(m.GetResults()), Console: fromAmount(m.GetConsole()), Kept: fromAmount(m.GetKept()),
		Items: eachFrom(m.GetItems(), fromExpiry), More: m.GetMore(),
	}
}

func toAmount(a ci.Amount) *civ1.Amount {
	return &civ1.Amount{Count: uint32(a.Count), Bytes: float64(a.Bytes)}
}

func fromAmount(m *civ1.Amount) ci.Amount {
	return ci.Amount{Count: int(m.GetCount()), Bytes: int64(m.GetBytes())}
}

func toExpiry(x *ci.Expiry) *civ1.Expiry {
	return &civ1.Expiry{
		Job: x.Job, Run: uint32(x.Run), What: string(x.What), Bytes: float64(x.Bytes), Done: ToTime(x.Done), Reason: x.Reason, Kept: x.Kept,
	}
}

func fromExpiry(m *civ1.Expiry) ci.Expiry {
	return ci.Expiry{
		RunRef: ci.RunRef{Job: m.GetJob(), Run: int64(m.GetRun())}, What: ci.Kept(m.GetWhat()), Bytes: int64(m.GetBytes()),
		Done: FromTime(m.GetDone()), Reason: m.GetReason(), Kept: m.GetKept(),
	}
}

// ToPin converts a pin.
func ToPin(p *ci.Pin) *civ1.Pin {
	return &civ1.Pin{Name: p.Name, Reason: p.Reason, Until: ToTime(p.Until), By: p.By}
}

// ToPins converts a list.
func ToPins(list []ci.Pin) []*civ1.Pin { return each(list, ToPin) }

// FromPin is ToPin's inverse.
func FromPin(m *civ1.Pin) ci.Pin {
	return ci.Pin{Name: m.GetName(), Reason: m.GetReason(), Until: FromTime(m.GetUntil()), By: m.GetBy()}
}
