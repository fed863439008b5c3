package jobfile

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"ci/pkg/ci"
)

// Bounds of what a job may ask for. A server's quota classes are usually far lower.
const (
	minTimeout = time.Second
	maxTimeout = 7 * 24 * time.Hour
	minCPUs    = 0.01
	maxCPUs    = 1024
	minMemory  = 32 << 20 // below 16 MiB our own process in the container does not fit
	maxMemory  = 64 << 40
	minPids    = 16
	maxPids    = 4 << 20 // the kernel's own maximum
)

func (c *checker) resources(_ place, v *node) {
	r := &c.spec.Resources
	c.object(v,
		key{"cpus", func(_ place, v *node) {
			if v.kind != number || !(v.num >= minCPUs && v.num <= maxCPUs) {
				c.wrong(v, fmt.Sprintf("a number of cores from %g to %d, for example 0.5", minCPUs, maxCPUs))
				return
			}
			r.CPUs = v.num
		}},
		key{"memory", c.memory},
		key{"pids", c.integer(minPids, maxPids, func(n int64) { r.Pids = n })},
	)
}

func (c *checker) memory(_ place, v *node) {
	const example = "a number and a unit (KiB, MiB, GiB or TiB), for example 512MiB"
	if v.kind != text {
		c.wrong(v, example)
		return
	}
	n, ok := parseSize(v.text)
	if !ok {
		c.wrong(v, example)
		return
	}
	if n < minMemory || n > maxMemory {
		c.wrong(v, fmt.Sprintf("a size from %s, which a container needs before its script begins, to %s", ci.Bytes(minMemory), ci.Bytes(maxMemory)))
		return
	}
	c.spec.Resources.Memory = n
}

var (
	size     = regexp.MustCompile(`^([0-9]{1,15}(?:\.[0-9]{1,9})?)([KMGT])iB$`)
	duration = regexp.MustCompile(`^([0-9]{1,12}(\.[0-9]{1,9})?(h|m|s|ms))+$`)
)

// parseSize reads "512MiB", "1.5GiB". Units are powers of 1024, written as
// IEC 80000-13 does: with "2g" or "2GB" nobody can tell which is meant.
func parseSize(s string) (int64, bool) {
	m := size.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, false
	}
	for _, unit := range "KMGT" {
		n *= 1024
		if string(unit) == m[2] {
			break
		}
	}
	return int64(min(n, math.MaxInt64/2)), true
}

// duration reads a time from least to most, which limits says in words.
func (c *checker) duration(least, most time.Duration, limits string, into *ci.Duration) func(place, *node) {
	return func(_ place, v *node) {
		if v.kind != text || !duration.MatchString(v.text) {
			c.wrong(v, "a duration with its unit, for example 90s, 30m or 1h30m")
			return
		}
		d, err := time.ParseDuration(v.text)
		if err != nil || d < least || d > most {
			c.wrong(v, "a duration from "+limits)
			return
		}
		*into = ci.Duration(d)
	}
}
