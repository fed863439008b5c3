package convert

import (
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

func toBuild(b *ci.Build) *civ1.Build {
	if b == nil {
		return nil
	}
	return &civ1.Build{Dockerfile: b.Dockerfile, Context: b.Context, Target: b.Target, Args: b.Args}
}

func fromBuild(m *civ1.Build) *ci.Build {
	if m == nil {
		return nil
	}
	return &ci.Build{Dockerfile: m.GetDockerfile(), Context: m.GetContext(), Target: m.GetTarget(), Args: m.GetArgs()}
}

func toService(s *ci.Service) *civ1.Service {
	return &civ1.Service{
		Name:        s.Name,
		Image:       s.Image,
		Build:       toBuild(s.Build),
		Entrypoint:  s.Entrypoint,
		Command:     s.Command,
		Env:         s.Env,
		User:        s.User,
		Workdir:     s.Workdir,
		Hostname:    s.Hostname,
		Aliases:     s.Aliases,
		Healthcheck: toHealthcheck(s.Healthcheck),
		DependsOn:   each(s.DependsOn, toDependency),
		Mounts:      each(s.Mounts, toMount),
		Tmpfs:       each(s.Tmpfs, toTmpfs),
		ShmSize:     float64(s.ShmSize),
		Ulimits:     each(s.Ulimits, toUlimit),
		StopSignal:  s.StopSignal,
		StopGrace:   toDuration(s.StopGrace),
		Ports:       s.Ports,
		Init:        s.Init,
		ReadOnly:    s.ReadOnly,
		CapDrop:     s.CapDrop,
		Resources:   toResources(s.Resources),
	}
}

func fromService(m *civ1.Service) ci.Service {
	return ci.Service{
		Name:        m.GetName(),
		Image:       m.GetImage(),
		Build:       fromBuild(m.GetBuild()),
		Entrypoint:  m.GetEntrypoint(),
		Command:     m.GetCommand(),
		Env:         m.GetEnv(),
		User:        m.GetUser(),
		Workdir:     m.GetWorkdir(),
		Hostname:    m.GetHostname(),
		Aliases:     m.GetAliases(),
		Healthcheck: fromHealthcheck(m.GetHealthcheck()),
		DependsOn:   eachFrom(m.GetDependsOn(), fromDependency),
		Mounts:      eachFrom(m.GetMounts(), fromMount),
		Tmpfs:       eachFrom(m.GetTmpfs(), fromTmpfs),
		ShmSize:     int64(m.GetShmSize()),
		Ulimits:     eachFrom(m.GetUlimits(), fromUlimit),
		StopSignal:  m.GetStopSignal(),
		StopGrace:   ci.Duration(m.GetStopGrace().AsDuration()),
		Ports:       m.GetPorts(),
		Init:        m.GetInit(),
		ReadOnly:    m.GetReadOnly(),
		CapDrop:     m.GetCapDrop(),
		Resources:   fromResources(m.GetResources()),
	}
}

func toHealthcheck(h *ci.Healthcheck) *civ1.Healthcheck {
	if h == nil {
		return nil
	}
	return &civ1.Healthcheck{
		Disable:     h.Disable,
		Test:        h.Test,
		Interval:    toDuration(h.Interval),
		Timeout:     toDuration(h.Timeout),
		StartPeriod: toDuration(h.StartPeriod),
		Retries:     uint32(h.Retries),
	}
}

func fromHealthcheck(m *civ1.Healthcheck) *ci.Healthcheck {
	if m == nil {
		return nil
	}
	return &ci.Healthcheck{
		Disable:     m.GetDisable(),
		Test:        m.GetTest(),
		Interval:    ci.Duration(m.GetInterval().AsDuration()),
		Timeout:     ci.Duration(m.GetTimeout().AsDuration()),
		StartPeriod: ci.Duration(m.GetStartPeriod().AsDuration()),
		Retries:     int(m.GetRetries()),
	}
}

func toDependency(d *ci.Dependency) *civ1.Dependency {
	return &civ1.Dependency{Service: d.Service, Condition: string(d.Condition)}
}

func fromDependency(m *civ1.Dependency) ci.Dependency {
	return ci.Dependency{Service: m.GetService(), Condition: ci.Condition(m.GetCondition())}
}

func toMount(v *ci.Mount) *civ1.Mount {
	return &civ1.Mount{Volume: v.Volume, Target: v.Target, ReadOnly: v.ReadOnly}
}

func fromMount(m *civ1.Mount) ci.Mount {
	return ci.Mount{Volume: m.GetVolume(), Target: m.GetTarget(), ReadOnly: m.GetReadOnly()}
}

func toTmpfs(t *ci.Tmpfs) *civ1.Tmpfs {
	return &civ1.Tmpfs{Target: t.Target, Size: float64(t.Size)}
}

func fromTmpfs(m *civ1.Tmpfs) ci.Tmpfs {
	return ci.Tmpfs{Target: m.GetTarget(), Size: int64(m.GetSize())}
}

func toUlimit(u *ci.Ulimit) *civ1.Ulimit {
	return &civ1.Ulimit{Name: u.Name, Soft: float64(u.Soft), Hard: float64(u.Hard)}
}

func fromUlimit(m *civ1.Ulimit) ci.Ulimit {
	return ci.Ulimit{Name: m.GetName(), Soft: int64(m.GetSoft()), Hard: int64(m.GetHard())}
}
