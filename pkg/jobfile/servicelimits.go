package jobfile

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"ci/pkg/ci"
)

func (r *serviceReader) health() *ci.Healthcheck {
	h := r.s.HealthCheck
	if h == nil {
		return nil
	}
	out := &ci.Healthcheck{
		Disable: h.Disable, Test: h.Test,
		Interval: r.wait(h.Interval, "interval"), Timeout: r.wait(h.Timeout, "timeout"), StartPeriod: r.wait(h.StartPeriod, "start_period"),
	}
	if h.Retries != nil {
		if *h.Retries > maxRetries {
			r.fault("at most 10000 retries are allowed", "healthcheck", "retries")
		} else {
			out.Retries = int(*h.Retries)
		}
	}
	switch {
	case len(h.Test) == 0:
	case h.Test[0] == "NONE":
		out.Disable, out.Test = true, nil
	case h.Test[0] != "CMD" && h.Test[0] != "CMD-SHELL":
		r.fault("a list begins with CMD, CMD-SHELL or NONE; found "+quote(h.Test[0]), "healthcheck", "test")
	case len(h.Test) == 1 || h.Test[0] == "CMD-SHELL" && len(h.Test) != 2:
		r.fault("expected [CMD, program, arguments…] or [CMD-SHELL, one command]", "healthcheck", "test")
	}
	r.noNul("healthcheck", h.Test)
	return out
}

func (r *serviceReader) wait(d *types.Duration, key string) ci.Duration {
	if d == nil {
		return 0
	}
	if *d < 0 || time.Duration(*d) > maxHealth || *d > 0 && time.Duration(*d) < time.Millisecond {
		r.fault("expected a duration from 1ms to 24h", "healthcheck", key)
		return 0
	}
	return ci.Duration(*d)
}

// size is a size in bytes, from least up; 0 means that none is given.
func (r *serviceReader) size(n types.UnitBytes, least int64, path ...string) int64 {
	if n != 0 && (int64(n) < least || n < 0 || int64(n) > maxMemory) {
		r.fault("expected a size from "+ci.Bytes(max(least, 1))+" to "+ci.Bytes(maxMemory), path...)
		return 0
	}
	return int64(n)
}

var knownUlimits = map[string]bool{
	"as": true, "core": true, "cpu": true, "data": true, "fsize": true, "locks": true, "memlock": true, "msgqueue": true,
	"nofile": true, "nproc": true, "rss": true, "rttime": true, "sigpending": true, "stack": true,
}

func (r *serviceReader) ulimits() []ci.Ulimit {
	var all []ci.Ulimit
	for _, name := range slices.Sorted(maps.Keys(r.s.Ulimits)) {
		u := r.s.Ulimits[name]
		if u == nil || !knownUlimits[name] {
			r.fault(quote(name)+" can't be set; known are "+strings.Join(slices.Sorted(maps.Keys(knownUlimits)), ", "), "ulimits", name)
			continue
		}
		l := ci.Ulimit{Name: name, Soft: int64(u.Soft), Hard: int64(u.Hard)}
		if u.Single != 0 {
			l.Soft, l.Hard = int64(u.Single), int64(u.Single)
		}
		if l.Soft < -1 || l.Hard < -1 || l.Hard != -1 && (l.Soft == -1 || l.Soft > l.Hard) {
			r.fault("expected soft at most hard, and -1 for no limit", "ulimits", name)
			continue
		}
		if name == "nofile" && (l.Hard == -1 || l.Hard > maxNofile) {
			l.Hard = maxNofile
			if l.Soft == -1 || l.Soft > l.Hard {
				l.Soft = l.Hard
			}
			r.c.notes.add(r.pruner.file+": `ulimits.nofile`", show(r.name), "at most 1048576 files are open")
		}
		all = append(all, l)
	}
	return all
}

func (r *serviceReader) resources() ci.Resources {
	s := r.s
	out := ci.Resources{CPUs: float64(s.CPUS), Memory: r.size(s.MemLimit, minServiceMemory, "mem_limit"), Pids: s.PidsLimit}
	if s.CPUQuota > 0 {
		out.CPUs = float64(s.CPUQuota) / float64(orPeriod(s.CPUPeriod))
	}
	from := "pids_limit"
	if s.Deploy != nil && s.Deploy.Resources.Limits != nil {
		l := s.Deploy.Resources.Limits
		if l.NanoCPUs != 0 {
			out.CPUs = float64(l.NanoCPUs)
		}
		if m := r.size(l.MemoryBytes, minServiceMemory, "deploy", "resources", "limits", "memory"); m != 0 {
			out.Memory = m
		}
		if l.Pids != 0 {
			out.Pids, from = l.Pids, "deploy"
		}
	}
	out.CPUs = round(out.CPUs)
	if out.CPUs != 0 && !(out.CPUs >= minCPUs && out.CPUs <= maxCPUs) {
		r.fault("expected a number of cores from 0.01 to 1024", "cpus")
	}
	if out.Pids == -1 {
		out.Pids = 0
	} else if out.Pids != 0 && (out.Pids < 1 || out.Pids > maxPids) {
		r.fault("expected a number of processes from 1 to "+strconv.Itoa(maxPids), from)
	}
	return out
}

func orPeriod(n int64) int64 {
	if n <= 0 {
		return 100_000 // microseconds, the kernel's default
	}
	return n
}

// round takes away what compose-go's short floats leave behind a tenth.
func round(f float64) float64 {
	s, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', 4, 64), 64)
	return s
}
