package ci

import "cmp"

// Service is a sidecar: a container that the script reaches by Name on the
// run's own network. pkg/jobfile reads it from Compose syntax; what Compose has
// beyond this is refused there, or noted in Spec.Notes.
type Service struct {
	Name string `json:"name"`
	// Exactly one of Image and Build is set.
	Image string `json:"image,omitempty"`
	Build *Build `json:"build,omitempty"`
	// Entrypoint and Command replace the image's; empty means the image's own.
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Command    []string          `json:"command,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	User       string            `json:"user,omitempty"`
	Workdir    string            `json:"workdir,omitempty"`
	Hostname   string            `json:"hostname,omitempty"`
	// Aliases are further names on the run's network.
	Aliases     []string     `json:"aliases,omitempty"`
	Healthcheck *Healthcheck `json:"healthcheck,omitempty"` // nil: the image's own
	DependsOn   []Dependency `json:"dependsOn,omitempty"`   // sorted by service
	Mounts      []Mount      `json:"mounts,omitempty"`
	Tmpfs       []Tmpfs      `json:"tmpfs,omitempty"`
	ShmSize     int64        `json:"shmSize,omitempty"` // bytes; 0: the runner's default
	Ulimits     []Ulimit     `json:"ulimits,omitempty"`
	StopSignal  string       `json:"stopSignal,omitempty"`
	StopGrace   Duration     `json:"stopGrace,omitempty"`
	// Ports are container ports ("5432/tcp") that the file names; the service is
	// up when they, or those that its image exposes, take connections. None is published.
	Ports    []string `json:"ports,omitempty"`
	Init     bool     `json:"init,omitempty"`
	ReadOnly bool     `json:"readOnly,omitempty"`
	CapDrop  []string `json:"capDrop,omitempty"`
	// Resources are limits of this service; 0 means the runner's default.
	Resources Resources `json:"resources"`
}

// Healthcheck says how a service shows that it is up. Zero values mean Compose's defaults.
type Healthcheck struct {
	Disable bool `json:"disable,omitempty"`
	// Test is as in Compose: ["CMD", …], ["CMD-SHELL", "…"].
	Test        []string `json:"test,omitempty"`
	Interval    Duration `json:"interval,omitempty"`
	Timeout     Duration `json:"timeout,omitempty"`
	StartPeriod Duration `json:"startPeriod,omitempty"`
	Retries     int      `json:"retries,omitempty"`
}

// Dependency says what a service waits for before it starts.
type Dependency struct {
	Service   string    `json:"service"`
	Condition Condition `json:"condition"`
}

// Condition is what a dependency has to have reached.
type Condition string

// The conditions, as Compose names them.
const (
	ServiceStarted   Condition = "service_started"
	ServiceHealthy   Condition = "service_healthy"
	ServiceCompleted Condition = "service_completed_successfully"
)

// Mount is a volume that lives as long as the run, and that its services may share.
type Mount struct {
	Volume   string `json:"volume"` // its name in the file; "" is the service's own
	Target   string `json:"target"` // absolute
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Tmpfs is a folder in memory.
type Tmpfs struct {
	Target string `json:"target"`
	Size   int64  `json:"size,omitempty"` // bytes; 0: the runner's default
}

// Ulimit is a limit of the kernel on a service's processes. -1 is unlimited.
type Ulimit struct {
	Name string `json:"name"`
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
}

// ServiceLogs is the name of the result that holds what a run's services printed.
const ServiceLogs = "services"

// What a service gets that names no limits of its own.
const (
	DefaultServiceMemory = 512 << 20
	DefaultServicePids   = 1024
)

// Limits are those of the service's container in a run with these resources.
// Cores that it does not limit it shares with the script, which mostly waits
// for it; memory is its own.
func (s *Service) Limits(run Resources) Resources {
	return Resources{
		CPUs:   cmp.Or(s.Resources.CPUs, run.CPUs),
		Memory: cmp.Or(s.Resources.Memory, DefaultServiceMemory),
		Pids:   cmp.Or(s.Resources.Pids, DefaultServicePids),
	}
}

// Needs is what the run takes of its agent, the script and the services
// together: all memory, and all cores that somebody names.
func (s *Spec) Needs() Resources {
	sum := s.Resources
	for i := range s.Services {
		limits := s.Services[i].Limits(s.Resources)
		sum.CPUs += s.Services[i].Resources.CPUs
		sum.Memory += limits.Memory
		sum.Pids += limits.Pids
	}
	return sum
}
