package ci

import "time"

// Spec is what a run is: the job file after parsing, with every default
// filled in. pkg/jobfile makes it; it is stored with the run as JSON.
type Spec struct {
	// Script runs as `sh -e`; a first line `#!…` picks another interpreter.
	Script      string      `json:"script"`
	Environment Environment `json:"environment"`
	Services    []Service   `json:"services,omitempty"` // in an order in which they can be started
	Env         []string    `json:"env,omitempty"`      // names of secrets
	SSH         bool        `json:"ssh,omitempty"`
	CI          bool        `json:"ci,omitempty"`
	Timeout     Duration    `json:"timeout"` // 0: the server's global timeout alone
	// StopGrace is the time between SIGTERM and SIGKILL; 0: the server's.
	StopGrace Duration     `json:"stopGrace,omitempty"`
	Resources Resources    `json:"resources"`
	Git       Checkout     `json:"git"`
	Results   []ResultSpec `json:"results,omitempty"` // sorted by name
	// Notes are sentences for the console: what the file asks for and a run does
	// not need, such as published ports.
	Notes []string `json:"notes,omitempty"`
}

// Environment is what the script runs in.
type Environment struct {
	// Image is an image's reference; "" without Build means the built-in toolbox image.
	Image string `json:"image,omitempty"`
	// Build says how the image is made from the repository; nil when it is not.
	Build *Build `json:"build,omitempty"`
	// Workdir is where the checkout appears, absolute.
	Workdir string `json:"workdir"`
	// User is a name or uid[:gid]; "" means the image's own.
	User string `json:"user,omitempty"`
	// Shell is the path of a shell in the image; "" means its sh, or the toolbox's.
	Shell string `json:"shell,omitempty"`
}

// Build makes an image from the checkout.
type Build struct {
	// Dockerfile is its path in the repository, Context a folder there ("." is the root).
	Dockerfile string `json:"dockerfile"`
	Context    string `json:"context"`
	// Target is the stage to build; "" means the last.
	Target string            `json:"target,omitempty"`
	Args   map[string]string `json:"args,omitempty"`
}

// Resources is what a run may use.
type Resources struct {
	CPUs   float64 `json:"cpus"`   // cores; 0.5 is half of one
	Memory int64   `json:"memory"` // bytes
	Pids   int64   `json:"pids"`   // processes and threads
}

// Checkout says how the repository is fetched.
type Checkout struct {
	// Depth is the number of commits of history; 0 means all.
	Depth      int  `json:"depth"`
	Submodules bool `json:"submodules,omitempty"`
}

// ResultSpec is one result that a run saves.
type ResultSpec struct {
	Name string `json:"name"`
	// Path is a path or glob relative to the working directory; ** crosses folders.
	Path string `json:"path"`
	// Type is the IANA media type to serve it as. "" lets the runner choose:
	// application/zip for several files, else by the file's name.
	Type string `json:"type,omitempty"`
}

// The job file's defaults.
const (
	DefaultWorkdir = "/workspace"
	DefaultCPUs    = 1.0
	DefaultMemory  = 2 << 30
	DefaultPids    = 1024
)

// Duration is a time.Duration that is written as Go writes it ("1m30s") in JSON.
type Duration time.Duration

// MarshalText writes d as "1m30s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}
