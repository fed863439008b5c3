package convert

import (
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ToRun leaves out what stays between the backend and the agent: Claim,
// LeaseUntil and Deadline.
func ToRun(r *ci.Run) *civ1.Run {
	out := &civ1.Run{
		Id:               uint32(r.ID),
		Job:              r.Job,
		JobVersion:       uint32(r.JobVersion),
		Status:           string(r.Status),
		Phase:            string(r.Phase),
		Outcome:          string(r.Outcome),
		Reason:           text(r.Reason),
		ScriptStarted:    r.ScriptStarted,
		CommitSha:        r.CommitSHA,
		BranchName:       r.BranchName,
		Parameters:       r.Parameters,
		Priority:         string(r.Priority),
		TriggeredBy:      r.TriggeredBy,
		Git:              ToGit(r.Git),
		Class:            r.Class,
		Agent:            r.Agent,
		AbortRequestedAt: ToTime(r.AbortRequestedAt),
		Times:            toTimes(r.Times),
		Console:          &civ1.Console{Bytes: float64(r.Console.Bytes), Sha256: r.Console.SHA256, Truncated: r.Console.Truncated},
		Spec:             ToSpec(r.Spec),
		Parent:           toRunRef(r.Parent),
		Origin:           toOrigin(r.Origin),
		Trace:            toTrace(r.Trace),
		Steps:            each(r.Steps, toStep),
		Images:           each(r.Images, toRunImage),
		ResultsExpiredAt: ToTime(r.ResultsExpiredAt),
		ConsoleExpiredAt: ToTime(r.ConsoleExpiredAt),
	}
	if r.ExitCode != nil {
		code := int32(*r.ExitCode)
		out.ExitCode = &code
	}
	return out
}

// FromRun is ToRun's inverse.
func FromRun(m *civ1.Run) *ci.Run {
	r := &ci.Run{
		ID:               int64(m.GetId()),
		Job:              m.GetJob(),
		JobVersion:       int64(m.GetJobVersion()),
		Status:           ci.Status(m.GetStatus()),
		Phase:            ci.Phase(m.GetPhase()),
		Outcome:          ci.Outcome(m.GetOutcome()),
		Reason:           m.GetReason(),
		ScriptStarted:    m.GetScriptStarted(),
		CommitSHA:        m.GetCommitSha(),
		BranchName:       m.GetBranchName(),
		Parameters:       m.GetParameters(),
		Priority:         ci.Priority(m.GetPriority()),
		TriggeredBy:      m.GetTriggeredBy(),
		Git:              FromGit(m.GetGit()),
		Class:            m.GetClass(),
		Agent:            m.GetAgent(),
		AbortRequestedAt: FromTime(m.GetAbortRequestedAt()),
		Times:            fromTimes(m.GetTimes()),
		Console: ci.Console{
			Bytes:     int64(m.GetConsole().GetBytes()),
			SHA256:    m.GetConsole().GetSha256(),
			Truncated: m.GetConsole().GetTruncated(),
		},
		Spec:   FromSpec(m.GetSpec()),
		Parent: fromRunRef(m.GetParent()),
		Origin: fromOrigin(m.GetOrigin()),
		Trace:  fromTrace(m.GetTrace()),
		Steps:  eachFrom(m.GetSteps(), fromStep),
		Images: eachFrom(m.GetImages(), fromRunImage),

		ResultsExpiredAt: FromTime(m.GetResultsExpiredAt()),
		ConsoleExpiredAt: FromTime(m.GetConsoleExpiredAt()),
	}
	if m.ExitCode != nil {
		code := int(m.GetExitCode())
		r.ExitCode = &code
	}
	return r
}

// ToRuns converts a list.
func ToRuns(list []ci.Run) []*civ1.Run { return each(list, ToRun) }

func toTimes(t ci.Times) *civ1.Times {
	return &civ1.Times{
		Triggered:  ToTime(t.Triggered),
		Queued:     ToTime(t.Queued),
		Claimed:    ToTime(t.Claimed),
		Started:    ToTime(t.Started),
		Collecting: ToTime(t.Collecting),
		Done:       ToTime(t.Done),
	}
}

func fromTimes(m *civ1.Times) ci.Times {
	return ci.Times{
		Triggered:  FromTime(m.GetTriggered()),
		Queued:     FromTime(m.GetQueued()),
		Claimed:    FromTime(m.GetClaimed()),
		Started:    FromTime(m.GetStarted()),
		Collecting: FromTime(m.GetCollecting()),
		Done:       FromTime(m.GetDone()),
	}
}

func toRunRef(r *ci.RunRef) *civ1.RunRef {
	if r == nil {
		return nil
	}
	return &civ1.RunRef{Job: r.Job, Run: uint32(r.Run)}
}

func fromRunRef(m *civ1.RunRef) *ci.RunRef {
	if m == nil {
		return nil
	}
	return &ci.RunRef{Job: m.GetJob(), Run: int64(m.GetRun())}
}

func toTrace(t *ci.Trace) *civ1.Trace {
	if t == nil {
		return nil
	}
	return &civ1.Trace{Id: t.ID, Span: t.Span, Sampled: t.Sampled, State: t.State, Recorded: t.Recorded}
}

func fromTrace(m *civ1.Trace) *ci.Trace {
	if m == nil {
		return nil
	}
	return &ci.Trace{ID: m.GetId(), Span: m.GetSpan(), Sampled: m.GetSampled(), State: m.GetState(), Recorded: m.GetRecorded()}
}

func toStep(s *ci.Step) *civ1.Step {
	return &civ1.Step{Name: s.Name, Began: ToTime(s.Began), Took: toDuration(s.Took), Detail: s.Detail}
}

func fromStep(m *civ1.Step) ci.Step {
	return ci.Step{Name: m.GetName(), Began: FromTime(m.GetBegan()), Took: ci.Duration(m.GetTook().AsDuration()), Detail: m.GetDetail()}
}

func toRunImage(i *ci.RunImage) *civ1.RunImage {
	return &civ1.RunImage{For: i.For, Reference: i.Reference, Digest: i.Digest}
}

func fromRunImage(m *civ1.RunImage) ci.RunImage {
	return ci.RunImage{For: m.GetFor(), Reference: m.GetReference(), Digest: m.GetDigest()}
}

// ToTrigger makes one item of a batch. By, Parent and Origin are not sent: the server knows who calls. Trace goes in a header.
func ToTrigger(t *ci.Trigger) *civ1.BatchTrigger {
	return &civ1.BatchTrigger{
		Job:            t.Job,
		CommitSha:      t.CommitSHA,
		BranchName:     t.BranchName,
		Parameters:     t.Parameters,
		Priority:       string(t.Priority),
		IdempotencyKey: t.IdempotencyKey,
	}
}

// FromTrigger is ToTrigger's inverse.
func FromTrigger(m *civ1.BatchTrigger) ci.Trigger {
	return ci.Trigger{
		Job:            m.GetJob(),
		CommitSHA:      m.GetCommitSha(),
		BranchName:     m.GetBranchName(),
		Parameters:     m.GetParameters(),
		Priority:       ci.Priority(m.GetPriority()),
		IdempotencyKey: m.GetIdempotencyKey(),
	}
}
