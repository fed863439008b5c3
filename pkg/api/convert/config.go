package convert

import (
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ToConfig converts the configuration.
func ToConfig(c *ci.Config) *civ1.Config {
	return &civ1.Config{
		GlobalTimeout:  toDuration(c.GlobalTimeout),
		AbortGrace:     toDuration(c.AbortGrace),
		Classes:        each(c.Classes, toQuota),
		MaxConsole:     float64(c.MaxConsole),
		MaxResult:      float64(c.MaxResult),
		MaxResultFiles: uint32(c.MaxResultFiles),
		Retention:      toDuration(c.Retention),
		AgentRetention: toDuration(c.AgentRetention),
		Keep:           ToKeep(c.Keep),
		KeepTotal:      ToKeep(c.KeepTotal),
		Version:        uint32(c.Version),
	}
}

// FromConfig is ToConfig's inverse. Who writes a configuration and does not know
// of AgentRetention leaves its default.
func FromConfig(m *civ1.Config) *ci.Config {
	agents := ci.DefaultConfig().AgentRetention
	if m.GetAgentRetention() != nil {
		agents = ci.Duration(m.GetAgentRetention().AsDuration())
	}
	return &ci.Config{
		GlobalTimeout:  ci.Duration(m.GetGlobalTimeout().AsDuration()),
		AbortGrace:     ci.Duration(m.GetAbortGrace().AsDuration()),
		Classes:        eachFrom(m.GetClasses(), fromQuota),
		MaxConsole:     int64(m.GetMaxConsole()),
		MaxResult:      int64(m.GetMaxResult()),
		MaxResultFiles: int(m.GetMaxResultFiles()),
		Retention:      ci.Duration(m.GetRetention().AsDuration()),
		AgentRetention: agents,
		Keep:           FromKeep(m.GetKeep()),
		KeepTotal:      FromKeep(m.GetKeepTotal()),
		Version:        int64(m.GetVersion()),
	}
}

func toQuota(q *ci.Quota) *civ1.Quota {
	return &civ1.Quota{Name: q.Name, Cpus: q.CPUs, Memory: float64(q.Memory)}
}

func fromQuota(m *civ1.Quota) ci.Quota {
	return ci.Quota{Name: m.GetName(), CPUs: m.GetCpus(), Memory: int64(m.GetMemory())}
}
