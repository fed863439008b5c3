package ci

import "time"

// Config is what an administrator sets at run time by API, for all cids.
// What a process needs to start (addresses, folders) is its flags instead.
type Config struct {
	// GlobalTimeout caps every run, from claim to the script's end.
	GlobalTimeout Duration
	// AbortGrace is the time between SIGTERM and SIGKILL, unless the job's file says otherwise.
	AbortGrace Duration
	// Classes are the quota classes, in ascending order.
	Classes []Quota
	// MaxConsole, MaxResult (bytes of all results of a run) and MaxResultFiles cap what a run stores.
	MaxConsole     int64
	MaxResult      int64
	MaxResultFiles int
	// Retention is how long done runs are kept, whatever their jobs say; 0 keeps them for ever.
	Retention Duration
	// Keep is what each job keeps, unless it says otherwise itself.
	Keep *Keep
	// KeepTotal is what all jobs together keep at the most, whatever they say. It has no Age.
	KeepTotal *Keep
	// AgentRetention is how long an agent that says nothing any more is listed;
	// 0 lists it for ever. One whose process has said that it ends is listed for
	// AgentLeft, if that is less.
	AgentRetention Duration
	// Version grows with each change; it is the ETag.
	Version int64
}

// AgentLeft is how long an agent is listed that was drained by its own process
// and has ended: the pods of a fleet that grows and shrinks do so all day.
const AgentLeft = 10 * time.Minute

// DefaultConfig is what a new system starts with.
func DefaultConfig() Config {
	return Config{
		GlobalTimeout: Duration(time.Hour),
		AbortGrace:    Duration(10 * time.Second),
		Classes: []Quota{
			{Name: "small", CPUs: 1, Memory: 2 << 30},
			{Name: "medium", CPUs: 2, Memory: 4 << 30},
			{Name: "large", CPUs: 4, Memory: 8 << 30},
		},
		AgentRetention: Duration(24 * time.Hour),
		MaxConsole:     2 << 30,
		MaxResult:      1 << 30,
		MaxResultFiles: 10_000,
		Version:        1,
	}
}

// TimeoutOf is how long a run of s may take: what s asks for, capped by GlobalTimeout.
func (c *Config) TimeoutOf(s *Spec) time.Duration {
	if s.Timeout == 0 {
		return time.Duration(c.GlobalTimeout)
	}
	return time.Duration(min(s.Timeout, c.GlobalTimeout))
}

// GraceOf is how long the script of s has between SIGTERM and SIGKILL: what s
// asks for, capped by GlobalTimeout and MaxAbortGrace, else AbortGrace.
func (c *Config) GraceOf(s *Spec) time.Duration {
	if s.StopGrace == 0 {
		return time.Duration(c.AbortGrace)
	}
	return min(time.Duration(min(s.StopGrace, c.GlobalTimeout)), MaxAbortGrace)
}

// MaxAbortGrace is the longest time between SIGTERM and SIGKILL, whoever sets it.
const MaxAbortGrace = 10 * time.Minute

// Validate checks every figure.
func (c *Config) Validate() error {
	var f faults
	checkRange(&f, "globalTimeout", time.Duration(c.GlobalTimeout), time.Second, 7*24*time.Hour)
	checkRange(&f, "abortGrace", time.Duration(c.AbortGrace), 0, MaxAbortGrace)
	if c.Retention != 0 {
		checkRange(&f, "retention", time.Duration(c.Retention), time.Minute, longest)
	}
	if c.AgentRetention != 0 {
		checkRange(&f, "agentRetention", time.Duration(c.AgentRetention), time.Minute, longest)
	}
	checkKeep(&f, "keep", c.Keep, true)
	checkKeep(&f, "keepTotal", c.KeepTotal, false)
	checkClasses(&f, c.Classes)
	checkSize(&f, "maxConsole", c.MaxConsole, 1<<40)
	checkSize(&f, "maxResult", c.MaxResult, 1<<40)
	checkSize(&f, "maxResultFiles", int64(c.MaxResultFiles), 1_000_000)
	return f.err("the configuration")
}

func checkRange(f *faults, path string, d, low, high time.Duration) {
	if d < low || d > high {
		f.add(path, "%s is not between %s and %s", d, low, high)
	}
}

func checkSize(f *faults, path string, n, high int64) {
	if n < 1 || n > high {
		f.add(path, "%d is not between 1 and %d", n, high)
	}
}

func checkClasses(f *faults, classes []Quota) {
	if len(classes) == 0 || len(classes) > 16 {
		f.add("classes", "has %d entries; 1 to 16 are allowed", len(classes))
	}
	seen := map[string]bool{}
	for i, q := range classes {
		at := path("classes", i)
		checkName(f, at+".name", q.Name)
		if seen[q.Name] {
			f.add(at+".name", "%q is there twice", q.Name)
		}
		seen[q.Name] = true
		if q.CPUs <= 0 || q.Memory <= 0 {
			f.add(at, "cpus and memory must be greater than 0")
		}
		if i > 0 && (q.CPUs < classes[i-1].CPUs || q.Memory < classes[i-1].Memory) {
			f.add(at, "must not be smaller than the class before it: classes stand in ascending order")
		}
	}
}
