package jobfile

import (
	"fmt"
	"unicode/utf8"

	"ci/pkg/ci"
)

// Limits of a job file.
const (
	MaxBytes    = 256 << 10 // of the file
	MaxDepth    = 32        // mappings and lists inside each other
	MaxAliased  = 1000      // nodes that all aliases together stand for
	MaxServices = 32
	MaxResults  = 64
	MaxEnv      = 128
	// MaxFaults is how many faults are listed; the rest are counted.
	MaxFaults = 50
)

// Parse reads a job file. name is what errors call it, usually its path. read
// gives it further files of the repository, such as a Compose file; nil where
// none is at hand, and a job file that names one is at fault.
//
// The error is a *ci.Error with CodeInvalid that holds all faults of the file
// and of those that it names, sorted by position; each Field.Path is
// "name:line:column", from 1, the column in characters. When read could not
// ask anybody, the error is read's own, and nothing is known of the file.
func Parse(name string, data []byte, read ReadFile) (*ci.Spec, error) {
	c := &checker{git: true, read: read}
	if root := readYAML(c, name, data); root != nil {
		c.job(root)
	}
	return c.finish(name + " is not a valid job file")
}

// ParseFreestyle reads the job file of a freestyle job, which is a JSON object
// with the job file's keys. It has no checkout, so the key git is refused.
//
// The error is a *ci.Error with CodeInvalid; each Field.Path is a JSON path
// ("freestyle.environment.image").
func ParseFreestyle(doc []byte) (*ci.Spec, error) {
	c := &checker{}
	if root := readJSON(c, "freestyle", doc); root != nil {
		c.job(root)
	}
	return c.finish("the freestyle job is not valid")
}

// checkInput refuses what neither reader may be given. It says whether to go on.
func checkInput(c *checker, at func(offset int) place, data []byte) bool {
	if len(data) > MaxBytes {
		c.fault(at(0), "has %d bytes; at most %d are allowed", len(data), MaxBytes)
		return false
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			c.fault(at(i), "found the byte 0x%02x, which is not UTF-8; save the file as UTF-8", data[i])
			return false
		}
		if r == 0 {
			c.fault(at(i), "found a NUL character; a job file is text")
			return false
		}
		i += size
	}
	return true
}

// finish returns the spec, or everything that is wrong with it.
func (c *checker) finish(sentence string) (*ci.Spec, error) {
	if c.failed != nil {
		return nil, c.failed
	}
	if len(c.faults) == 0 {
		return &c.spec, nil
	}
	fields := c.fields()
	if n := len(fields) - MaxFaults; n > 0 {
		fields = append(fields[:MaxFaults], ci.Field{Path: fields[MaxFaults].Path, Message: fmt.Sprintf("and %d more from here on", n)})
	}
	return nil, &ci.Error{Code: ci.CodeInvalid, Message: sentence, Fields: fields}
}
