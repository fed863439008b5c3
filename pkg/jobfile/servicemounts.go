package jobfile

import (
	"path"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-units"

	"ci/pkg/ci"
)

// mountsOf reads volumes and folders in memory.
func (r *serviceReader) mountsOf(out *ci.Service) {
	targets := map[string]bool{}
	for i, v := range r.s.Volumes {
		target := path.Clean(v.Target)
		r.target(target, targets, "volumes", strconv.Itoa(i))
		if v.Type == types.VolumeTypeTmpfs {
			t := ci.Tmpfs{Target: target}
			if v.Tmpfs != nil {
				t.Size = r.size(v.Tmpfs.Size, 0, "volumes", strconv.Itoa(i))
			}
			out.Tmpfs = append(out.Tmpfs, t)
			continue
		}
		out.Mounts = append(out.Mounts, ci.Mount{Volume: v.Source, Target: target, ReadOnly: v.ReadOnly})
	}
	for i, s := range r.s.Tmpfs {
		target, options, _ := strings.Cut(s, ":")
		target = path.Clean(target)
		r.target(target, targets, "tmpfs", strconv.Itoa(i))
		out.Tmpfs = append(out.Tmpfs, ci.Tmpfs{Target: target, Size: r.tmpfsSize(options, i)})
	}
}

// tmpfsSize is the size among the options of mount(8); the others have no effect.
func (r *serviceReader) tmpfsSize(options string, i int) int64 {
	var size int64
	for option := range strings.SplitSeq(options, ",") {
		value, found := strings.CutPrefix(option, "size=")
		if !found {
			if option != "" {
				r.c.notes.add(r.pruner.file+": `tmpfs`", show(r.name), "has no effect but for its size; everybody in the container may write there")
			}
			continue
		}
		n, err := units.RAMInBytes(value)
		if err != nil {
			r.fault(quote(value)+" is not a size; an example is size=64m", "tmpfs", strconv.Itoa(i))
			continue
		}
		size = r.size(types.UnitBytes(n), 0, "tmpfs", strconv.Itoa(i))
	}
	return size
}

// target judges where something is mounted.
func (r *serviceReader) target(s string, taken map[string]bool, path ...string) {
	why := checkCleanPath(s)
	switch {
	case why != "":
		r.fault(why, path...)
	case s == "/":
		r.fault("the container's / can't be covered; choose a folder", path...)
	case reservedDirs.MatchString(s) && s != "/dev/shm":
		r.fault(quote(s)+" belongs to the system; choose a folder of your own", path...)
	case taken[s]:
		r.fault(quote(s)+" is there twice; mount one thing in one place", path...)
	}
	taken[s] = true
}
