package signin

import (
	"fmt"
	"slices"
	"strings"

	"ci/pkg/ci"
)

// strength are the roles that people may get, the strongest first.
var strength = []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead}

// Rule gives a role to whoever has a value: of a claim at an OpenID provider, or as a
// member of something at GitHub.
type Rule struct {
	Role        ci.Role
	Fact, Value string
}

// ParseRules reads rules of the form ROLE:FACT=VALUE. facts are those that may be
// named; none allows all.
func ParseRules(list []string, facts ...string) ([]Rule, error) {
	var rules []Rule
	for _, text := range list {
		role, rest, ok := strings.Cut(text, ":")
		fact, value, ok2 := strings.Cut(rest, "=")
		r := Rule{ci.Role(strings.TrimSpace(role)), strings.TrimSpace(fact), strings.TrimSpace(value)}
		switch {
		case !ok || !ok2 || r.Fact == "" || r.Value == "":
			return nil, fmt.Errorf("the rule %q is not of the form ROLE:FACT=VALUE, such as read:email=alice@example.com", text)
		case !slices.Contains(strength, r.Role):
			return nil, fmt.Errorf("the rule %q gives the role %q; the roles of people are %v", text, r.Role, strength)
		case len(facts) > 0 && !slices.Contains(facts, r.Fact):
			return nil, fmt.Errorf("the rule %q asks for %q; what can be asked for is %v", text, r.Fact, facts)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// byStrength sorts rules so that the first one that holds gives the strongest role.
func byStrength(rules []Rule) []Rule {
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(a, b Rule) int {
		return slices.Index(strength, a.Role) - slices.Index(strength, b.Role)
	})
	return rules
}
