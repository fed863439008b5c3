package convert

import (
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ToSpec returns nil for nil.
func ToSpec(s *ci.Spec) *civ1.Spec {
	if s == nil {
		return nil
	}
	return &civ1.Spec{
		Script: s.Script,
		Environment: &civ1.Environment{
			Image:   s.Environment.Image,
			Build:   toBuild(s.Environment.Build),
			Workdir: s.Environment.Workdir,
			User:    s.Environment.User,
			Shell:   s.Environment.Shell,
		},
		Env:       s.Env,
		Ssh:       s.SSH,
		Ci:        s.CI,
		Timeout:   toDuration(s.Timeout),
		StopGrace: toDuration(s.StopGrace),
		Resources: toResources(s.Resources),
		Git:       &civ1.Checkout{Depth: uint32(s.Git.Depth), Submodules: s.Git.Submodules},
		Results:   each(s.Results, toResultSpec),
		Services:  each(s.Services, toService),
		Notes:     s.Notes,
	}
}

// FromSpec returns nil for nil.
func FromSpec(m *civ1.Spec) *ci.Spec {
	if m == nil {
		return nil
	}
	env := m.GetEnvironment()
	return &ci.Spec{
		Script: m.GetScript(),
		Environment: ci.Environment{
			Image:   env.GetImage(),
			Build:   fromBuild(env.GetBuild()),
			Workdir: env.GetWorkdir(),
			User:    env.GetUser(),
			Shell:   env.GetShell(),
		},
		Env:       m.GetEnv(),
		SSH:       m.GetSsh(),
		CI:        m.GetCi(),
		Timeout:   ci.Duration(m.GetTimeout().AsDuration()),
		StopGrace: ci.Duration(m.GetStopGrace().AsDuration()),
		Resources: fromResources(m.GetResources()),
		Git:       ci.Checkout{Depth: int(m.GetGit().GetDepth()), Submodules: m.GetGit().GetSubmodules()},
		Results:   eachFrom(m.GetResults(), fromResultSpec),
		Services:  eachFrom(m.GetServices(), fromService),
		Notes:     m.GetNotes(),
	}
}

func toResources(r ci.Resources) *civ1.Resources {
	return &civ1.Resources{Cpus: r.CPUs, Memory: float64(r.Memory), Pids: uint32(r.Pids)}
}

func fromResources(m *civ1.Resources) ci.Resources {
	return ci.Resources{CPUs: m.GetCpus(), Memory: int64(m.GetMemory()), Pids: int64(m.GetPids())}
}

func toResultSpec(r *ci.ResultSpec) *civ1.ResultSpec {
	return &civ1.ResultSpec{Name: r.Name, Path: r.Path, Type: r.Type}
}

func fromResultSpec(m *civ1.ResultSpec) ci.ResultSpec {
	return ci.ResultSpec{Name: m.GetName(), Path: m.GetPath(), Type: m.GetType()}
}
