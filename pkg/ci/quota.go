package ci

import "fmt"

// Quota is a class of runs by size. The queue has one lane for each class and
// priority; an agent offers so many cores and bytes, and each run takes its
// class's share while it is there.
type Quota struct {
	Name   string
	CPUs   float64
	Memory int64 // bytes
}

// ClassFor returns the smallest class that holds r. classes are in ascending
// order. When none does, the error says what the largest would hold.
func ClassFor(classes []Quota, r Resources) (Quota, error) {
	for _, q := range classes {
		if r.CPUs <= q.CPUs && r.Memory <= q.Memory {
			return q, nil
		}
	}
	if len(classes) == 0 {
		return Quota{}, Errorf(CodeInvalid, "the server has no quota classes; an administrator sets them with PUT /config")
	}
	largest := classes[len(classes)-1]
	return Quota{}, &Error{Code: CodeInvalid, Message: "no quota class is large enough", Fields: []Field{{
		Path:    "resources",
		Message: fmt.Sprintf("wants %g cpus and %s; the largest class, %s, holds %g and %s", r.CPUs, Bytes(r.Memory), largest.Name, largest.CPUs, Bytes(largest.Memory)),
	}}}
}

// Bytes prints a size for people: "2GiB", "1.5MiB", "12B".
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%dB", n)
	}
	v, i := float64(n)/unit, 0
	for ; v >= unit && i < 4; i++ {
		v /= unit
	}
	return fmt.Sprintf("%.4g%ciB", v, "KMGTP"[i])
}

// Lane is one line of waiting runs: a class and a priority.
type Lane struct {
	Class    string
	Priority Priority
}

// String names the lane as the queue does.
func (l Lane) String() string { return l.Class + "." + string(l.Priority) }
