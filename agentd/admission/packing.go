package admission

import (
	"hash/fnv"
	"math"
	"time"

	"ci/pkg/ci"
)

// MaxHesitation bounds what packing adds to the start of a run on an idle fleet.
const MaxHesitation = 25 * time.Millisecond

// hashed is the part of the hesitation that depends on the agent's name alone.
const hashed = 0.25

// Hesitation is how long an agent with free room lets others go first when it
// is woken. The busiest asks first, so runs gather on few agents and the others
// become empty, which is what a fleet needs to shrink.
//
// Among equally busy ones the name decides, always in the same way. Few names
// come early (the cube root of an even spread): the first of a thousand idle
// agents has taken a run, and told the others, before most of them have asked.
func Hesitation(agent string, offered, held ci.Quota) time.Duration {
	if offered.CPUs <= 0 || offered.Memory <= 0 {
		return 0
	}
	free := 1 - min(1, max(held.CPUs/offered.CPUs, float64(held.Memory)/float64(offered.Memory)))
	return time.Duration((1-hashed)*free*float64(MaxHesitation)).Round(time.Microsecond) +
		time.Duration(hashed*math.Cbrt(even(agent))*float64(MaxHesitation)).Round(time.Microsecond)
}

// even spreads names over 0 to 1.
func even(name string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	// The high bits of FNV hardly depend on a name's last letters, where names
	// of agents differ; a multiplication by an odd number mixes them in.
	return float64((h.Sum64()*0x9E3779B97F4A7C15)>>11) / (1 << 53)
}
