package auth

import (
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"

	"ci/pkg/ci"
)

// Action is something that a caller may or may not do.
type Action string

// The actions. The wire's methods name them in their (ci.v1.access) option.
const (
	JobRead        Action = "job.read"
	JobWrite       Action = "job.write"
	RunRead        Action = "run.read"
	RunTrigger     Action = "run.trigger"
	RunWithdraw    Action = "run.withdraw"
	RunAbort       Action = "run.abort"
	RunPin         Action = "run.pin"
	EventRead      Action = "event.read"
	AgentRead      Action = "agent.read"
	AgentDrain     Action = "agent.drain"
	AgentWork      Action = "agent.work"
	QueueRead      Action = "queue.read"
	ConfigRead     Action = "config.read"
	ConfigWrite    Action = "config.write"
	RetentionPlan  Action = "retention.plan"
	TokenManage    Action = "token.manage"
	SecretWrite    Action = "secret.write"
	SecretList     Action = "secret.list"
	RegistryManage Action = "registry.manage"
	SSHKeyManage   Action = "ssh_key.manage"
	SSHKeyRead     Action = "ssh_key.read"
	ForgeManage    Action = "forge.manage"
	ForgeRead      Action = "forge.read"
	// Event triggers use what the server may do at a forge.
	EventTriggerManage Action = "event_trigger.manage"
	EventTriggerRead   Action = "event_trigger.read"
	MetricsRead        Action = "metrics.read"
	SelfRead           Action = "self.read"
	// SelfEnd ends the token of a sign-in, by itself.
	SelfEnd Action = "self.end"
)

// Rule is one row of the table action × role.
type Rule struct {
	Action Action
	Roles  []ci.Role
	// OfJob says that the action is on one job, which limited tokens may not even know of.
	OfJob bool
}

// Rules is the whole policy.
var Rules = []Rule{
	{JobRead, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead, ci.RoleRun}, true},
	{JobWrite, []ci.Role{ci.RoleAdmin, ci.RoleMaintain}, true},
	{RunRead, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead, ci.RoleRun}, true},
	{RunTrigger, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRun}, true},
	// By the key alone, whoever has used it: nothing for a script, which sees its own runs only.
	{RunWithdraw, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger}, true},
	{RunAbort, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRun}, true},
	{RunPin, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger}, true},
	{EventRead, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead}, true},
	{AgentRead, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead}, false},
	{AgentDrain, []ci.Role{ci.RoleAdmin}, false},
	{AgentWork, []ci.Role{ci.RoleAgent}, false},
	{QueueRead, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead}, false},
	{ConfigRead, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead}, false},
	{ConfigWrite, []ci.Role{ci.RoleAdmin}, false},
	{RetentionPlan, []ci.Role{ci.RoleAdmin, ci.RoleMaintain}, true},
	{TokenManage, []ci.Role{ci.RoleAdmin}, false},
	{SecretWrite, []ci.Role{ci.RoleAdmin, ci.RoleMaintain}, true},
	{SecretList, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead}, true},
	{RegistryManage, []ci.Role{ci.RoleAdmin}, false},
	{SSHKeyManage, []ci.Role{ci.RoleAdmin}, false},
	{SSHKeyRead, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead}, false},
	{ForgeManage, []ci.Role{ci.RoleAdmin}, false},
	{ForgeRead, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead}, false},
	{EventTriggerManage, []ci.Role{ci.RoleAdmin, ci.RoleMaintain}, false},
	{EventTriggerRead, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead}, false},
	{MetricsRead, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead}, false},
	{SelfRead, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead, ci.RoleAgent, ci.RoleRun}, false},
	{SelfEnd, []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead}, false},
}

// May answers who may do what; nil means yes. job is the job that the action
// is on, "" for a list or an action on no job. A job that a limited token may
// not know of is ci.CodeNotFound, in the words of one that is not there; a
// role that lacks the action is ci.CodeForbidden. An action that is not in
// the table is refused to everyone.
func May(p Principal, a Action, job string) error {
	i := slices.IndexFunc(Rules, func(r Rule) bool { return r.Action == a })
	if i < 0 {
		return ci.Errorf(ci.CodeForbidden, "nobody may %q: the action is not in the table of rights", a)
	}
	rule := Rules[i]
	if rule.OfJob && job != "" && !p.Sees(job) {
		return ci.Errorf(ci.CodeNotFound, "there is no job %q", job)
	}
	if !slices.Contains(rule.Roles, p.Role) {
		return ci.Errorf(ci.CodeForbidden, "the token %s has the role %s, which may not do this (%s); the roles that may are %v", p.Name, p.Role, a, rule.Roles)
	}
	if p.Role == ci.RoleRun && a == RunTrigger && job != "" && !slices.Contains(p.Triggers, job) {
		return ci.Errorf(ci.CodeForbidden, "run %s may not trigger job %s; add it to the triggers of job %s", p.Name, job, job)
	}
	return nil
}

// MayRun answers the same about one run, once May has said yes about its job. A
// run's script sees the runs of its own job, and of the jobs that it may
// trigger those that it has triggered; it aborts only the latter. To it, others are not there.
func MayRun(p Principal, a Action, r *ci.Run) error {
	switch {
	case p.Role != ci.RoleRun:
		return nil
	case p.Run == nil:
		return ci.Errorf(ci.CodeForbidden, "the token %s is a run's, and says of none", p.Name)
	case r.Parent != nil && *r.Parent == *p.Run:
		return nil
	case r.Job != p.Run.Job:
		return ci.Errorf(ci.CodeNotFound, "job %q has no run %d", r.Job, r.ID)
	case a != RunRead:
		return ci.Errorf(ci.CodeForbidden, "run %s may do this (%s) only to the runs that it has triggered", p.Name, a)
	}
	return nil
}

// MayUnpin answers whether a pin may be taken away or replaced, by the name of the
// token that has set it; nil allows all. Whoever may only trigger has its own pins.
func MayUnpin(p Principal) func(by string) error {
	if p.Role != ci.RoleTrigger {
		return nil
	}
	return func(by string) error {
		if by == p.Name || pipelines.MatchString(by) && pipelines.MatchString(p.Name) {
			return nil
		}
		return ci.Errorf(ci.CodeForbidden, "the pin is set by %s; the token %s has the role %s, which takes away and replaces only its own pins: use another name, or ask somebody with the role %s", by, p.Name, p.Role, ci.RoleMaintain)
	}
}

// pipelines are the names that PipelinesName gives. The tokens are one caller to
// pins: each is replaced after a day, and every cid has its own.
var pipelines = regexp.MustCompile(`^pipelines-[0-9]{8}-[0-9]{6}-[0-9a-f]{8}$`)

// PipelinesName is a new name for a token with which a cid's pipelines call.
func PipelinesName(now time.Time) string {
	return "pipelines-" + now.UTC().Format("20060102-150405") + "-" + uuid.NewString()[:8]
}
