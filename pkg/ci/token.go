package ci

import "time"

// Role says what a token's bearer may do.
type Role string

// The roles.
const (
	RoleAdmin    Role = "admin"    // everything
	RoleMaintain Role = "maintain" // jobs and secrets, and all that trigger may
	RoleTrigger  Role = "trigger"  // trigger and abort runs, and all that read may
	RoleRead     Role = "read"     // look
	RoleAgent    Role = "agent"    // be one agent, nothing else
	RoleRun      Role = "run"      // minted for one run; dies with it
)

// Roles lists the roles that people may mint tokens for.
var Roles = []Role{RoleAdmin, RoleMaintain, RoleTrigger, RoleRead, RoleAgent}

// Token is what is recorded of a bearer token. The token itself is shown once.
type Token struct {
	ID   string // UUIDv7
	Name string
	Role Role
	// Jobs limits maintain, trigger and read to these jobs; empty does not limit.
	Jobs []string
	// Agent is the one agent that a token of the role agent speaks for; "" for all other roles.
	Agent     string
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: valid
}

// Caller is whom a token stands for, as its bearer may know it.
type Caller struct {
	// TokenID is "" for a run's own token, which is in no list.
	TokenID string
	// Name is the token's, or JOB/ID of the run.
	Name string
	Role Role
	// Jobs limits it to these; empty does not limit.
	Jobs []string
	// Agent is whom it speaks for; "" unless Role is agent.
	Agent     string
	ExpiresAt time.Time // zero: never
	// Run is the run whose script calls, and Triggers what it may trigger; nil unless Role is run.
	Run      *RunRef
	Triggers []string
}

// Validate checks what people choose about a token.
func (t *Token) Validate(now time.Time) error {
	var f faults
	checkName(&f, "name", t.Name)
	known := false
	for _, r := range Roles {
		known = known || r == t.Role
	}
	if !known {
		f.add("role", "%q is not one of %v", t.Role, Roles)
	}
	if len(t.Jobs) > 100 {
		f.add("jobs", "has %d entries; at most 100 are allowed", len(t.Jobs))
	}
	if len(t.Jobs) > 0 && (t.Role == RoleAdmin || t.Role == RoleAgent) {
		f.add("jobs", "role %s can't be limited to jobs", t.Role)
	}
	switch {
	case t.Role == RoleAgent && t.Agent != "":
		checkName(&f, "agent", t.Agent)
	case t.Agent != "":
		f.add("agent", "only a token of role agent speaks for one")
	}
	for i, j := range t.Jobs {
		checkName(&f, path("jobs", i), j)
	}
	if !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(now) {
		f.add("expiresAt", "%s is in the past", t.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return f.err("the token")
}
