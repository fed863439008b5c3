package convert

import (
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ToClaim leaves out the agent: the server knows who calls.
func ToClaim(c *ci.Claim) *civ1.Claim { return &civ1.Claim{Run: uint32(c.Run), Id: c.ID} }

// FromClaim is ToClaim's inverse.
func FromClaim(m *civ1.Claim) ci.Claim { return ci.Claim{Run: int64(m.GetRun()), ID: m.GetId()} }

// ToClaims converts a list.
func ToClaims(list []ci.Claim) []*civ1.Claim { return each(list, ToClaim) }

// FromClaims is ToClaims' inverse.
func FromClaims(list []*civ1.Claim) []ci.Claim { return eachFrom(list, FromClaim) }

// ToLane converts a lane.
func ToLane(l *ci.Lane) *civ1.Lane { return &civ1.Lane{Class: l.Class, Priority: string(l.Priority)} }

// FromLane is ToLane's inverse.
func FromLane(m *civ1.Lane) ci.Lane {
	return ci.Lane{Class: m.GetClass(), Priority: ci.Priority(m.GetPriority())}
}

// ToLanes converts a list.
func ToLanes(list []ci.Lane) []*civ1.Lane { return each(list, ToLane) }

// FromLanes is ToLanes' inverse.
func FromLanes(list []*civ1.Lane) []ci.Lane { return eachFrom(list, FromLane) }

// ToWork converts what an agent gets for a claim, with all that is confidential.
func ToWork(w *ci.Work) *civ1.Work {
	return &civ1.Work{
		Run:            ToRun(&w.Run),
		Timeout:        toDuration(w.Timeout),
		AbortGrace:     toDuration(w.AbortGrace),
		Url:            w.URL,
		Secrets:        w.Secrets,
		Ssh:            toSSHAccess(w.SSH),
		Registries:     each(w.Registries, toRegistryAccess),
		Token:          w.Token,
		MaxConsole:     float64(w.MaxConsole),
		MaxResult:      float64(w.MaxResult),
		MaxResultFiles: uint32(w.MaxResultFiles),
		Http:           toHTTPAccess(w.HTTP),
	}
}

// FromWork is ToWork's inverse.
func FromWork(m *civ1.Work) *ci.Work {
	return &ci.Work{
		Run:            *FromRun(m.GetRun()),
		Timeout:        m.GetTimeout().AsDuration(),
		AbortGrace:     m.GetAbortGrace().AsDuration(),
		URL:            m.GetUrl(),
		Secrets:        m.GetSecrets(),
		SSH:            fromSSHAccess(m.GetSsh()),
		Registries:     eachFrom(m.GetRegistries(), fromRegistryAccess),
		Token:          m.GetToken(),
		MaxConsole:     int64(m.GetMaxConsole()),
		MaxResult:      int64(m.GetMaxResult()),
		MaxResultFiles: int(m.GetMaxResultFiles()),
		HTTP:           fromHTTPAccess(m.GetHttp()),
	}
}

func toHTTPAccess(a *ci.HTTPAccess) *civ1.HTTPAccess {
	if a == nil {
		return nil
	}
	return &civ1.HTTPAccess{Username: a.Username, Password: a.Password}
}

func fromHTTPAccess(m *civ1.HTTPAccess) *ci.HTTPAccess {
	if m == nil {
		return nil
	}
	return &ci.HTTPAccess{Username: m.GetUsername(), Password: m.GetPassword()}
}

func toSSHAccess(a *ci.SSHAccess) *civ1.SSHAccess {
	if a == nil {
		return nil
	}
	return &civ1.SSHAccess{Name: a.Name, PrivateKey: a.PrivateKey, Hosts: ToHostKeys(a.Hosts)}
}

func fromSSHAccess(m *civ1.SSHAccess) *ci.SSHAccess {
	if m == nil {
		return nil
	}
	return &ci.SSHAccess{Name: m.GetName(), PrivateKey: m.GetPrivateKey(), Hosts: FromHostKeys(m.GetHosts())}
}

func toRegistryAccess(a *ci.RegistryAccess) *civ1.RegistryAccess {
	return &civ1.RegistryAccess{Host: a.Host, Username: a.Username, Password: a.Password}
}

func fromRegistryAccess(m *civ1.RegistryAccess) ci.RegistryAccess {
	return ci.RegistryAccess{Host: m.GetHost(), Username: m.GetUsername(), Password: m.GetPassword()}
}

// ToVerdict converts what a renewal says.
func ToVerdict(v *ci.Verdict) *civ1.Verdict {
	return &civ1.Verdict{Run: uint32(v.Run), Abort: v.Abort, Gone: v.Gone}
}

// FromVerdict is ToVerdict's inverse.
func FromVerdict(m *civ1.Verdict) ci.Verdict {
	return ci.Verdict{Run: int64(m.GetRun()), Abort: m.GetAbort(), Gone: m.GetGone()}
}

// ToVerdicts converts a list.
func ToVerdicts(list []ci.Verdict) []*civ1.Verdict { return each(list, ToVerdict) }

// FromVerdicts is ToVerdicts' inverse.
func FromVerdicts(list []*civ1.Verdict) []ci.Verdict { return eachFrom(list, FromVerdict) }

// ToEnd converts how a run ended.
func ToEnd(e *ci.End) *civ1.End {
	return &civ1.End{
		Outcome:       string(e.Outcome),
		Reason:        text(e.Reason),
		ExitCode:      ToExitCode(e.ExitCode),
		ScriptStarted: e.ScriptStarted,
		Console:       &civ1.Console{Bytes: float64(e.Console.Bytes), Sha256: e.Console.SHA256, Truncated: e.Console.Truncated},
		Steps:         each(e.Steps, toStep),
		Images:        each(e.Images, toRunImage),
	}
}

// FromEnd is ToEnd's inverse.
func FromEnd(m *civ1.End) ci.End {
	if m == nil {
		return ci.End{}
	}
	return ci.End{
		Outcome:       ci.Outcome(m.GetOutcome()),
		Reason:        m.GetReason(),
		ExitCode:      FromExitCode(m.ExitCode),
		ScriptStarted: m.GetScriptStarted(),
		Console: ci.Console{
			Bytes:     int64(m.GetConsole().GetBytes()),
			SHA256:    m.GetConsole().GetSha256(),
			Truncated: m.GetConsole().GetTruncated(),
		},
		Steps:  eachFrom(m.GetSteps(), fromStep),
		Images: eachFrom(m.GetImages(), fromRunImage),
	}
}

// ToExitCode converts an exit status that may be absent.
func ToExitCode(code *int) *int32 {
	if code == nil {
		return nil
	}
	out := int32(*code)
	return &out
}

// FromExitCode is ToExitCode's inverse.
func FromExitCode(code *int32) *int {
	if code == nil {
		return nil
	}
	out := int(*code)
	return &out
}

// ToTerms converts what an agent is told.
func ToTerms(t *ci.Terms) *civ1.Terms {
	return &civ1.Terms{Agent: t.Agent, Lease: toDuration(t.Lease), Classes: each(t.Classes, toQuota), Queues: each(t.Depths, ToQueue)}
}

// FromTerms is ToTerms' inverse.
func FromTerms(m *civ1.Terms) *ci.Terms {
	return &ci.Terms{
		Agent: m.GetAgent(), Lease: m.GetLease().AsDuration(),
		Classes: eachFrom(m.GetClasses(), fromQuota), Depths: eachFrom(m.GetQueues(), FromQueue),
	}
}

// ToRunIDs converts ids of runs.
func ToRunIDs(ids []int64) []uint32 {
	return each(ids, func(id *int64) uint32 { return uint32(*id) })
}

// FromRunIDs is ToRunIDs' inverse.
func FromRunIDs(ids []uint32) []int64 {
	return eachFrom(ids, func(id uint32) int64 { return int64(id) })
}
