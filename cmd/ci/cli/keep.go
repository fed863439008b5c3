package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"ci/pkg/ci"
)

// keepDocument is what a job keeps, as people write it.
type keepDocument struct {
	Runs    *limitsDocument `json:"runs,omitempty" yaml:"runs,omitempty"`
	Results *limitsDocument `json:"results,omitempty" yaml:"results,omitempty"`
	Console *limitsDocument `json:"console,omitempty" yaml:"console,omitempty"`
}

type limitsDocument struct {
	Age   string `json:"age,omitempty" yaml:"age,omitempty"`
	Count int    `json:"count,omitempty" yaml:"count,omitempty"`
	Bytes int64  `json:"bytes,omitempty" yaml:"bytes,omitempty"`
}

func (d *keepDocument) keep() (*ci.Keep, error) {
	if d == nil {
		return nil, nil
	}
	k := &ci.Keep{}
	for what, l := range map[ci.Kept]*limitsDocument{ci.KeptRun: d.Runs, ci.KeptResults: d.Results, ci.KeptConsole: d.Console} {
		if l == nil {
			continue
		}
		limits := &ci.Limits{Count: l.Count, Bytes: l.Bytes}
		if l.Age != "" {
			if err := limits.Age.UnmarshalText([]byte(l.Age)); err != nil {
				return nil, fmt.Errorf("keep.%s.age: %w", what.Key(), err)
			}
		}
		*limitsAt(k, what) = limits
	}
	return k, nil
}

func documentOfKeep(k *ci.Keep) *keepDocument {
	if k == nil {
		return nil
	}
	return &keepDocument{documentOfLimits(k.Runs), documentOfLimits(k.Results), documentOfLimits(k.Console)}
}

func documentOfLimits(l *ci.Limits) *limitsDocument {
	if l == nil {
		return nil
	}
	d := &limitsDocument{Count: l.Count, Bytes: l.Bytes}
	if l.Age != 0 {
		d.Age = time.Duration(l.Age).String()
	}
	return d
}

// limitsAt is where the limits of a kind are.
func limitsAt(k *ci.Keep, what ci.Kept) **ci.Limits {
	switch what {
	case ci.KeptRun:
		return &k.Runs
	case ci.KeptResults:
		return &k.Results
	}
	return &k.Console
}

// limits are the keys of Limits: how each is shown, and how it is read.
var limits = []struct {
	name string
	get  func(ci.Limits) string
	set  func(*ci.Limits, string) error
}{
	{
		"age", func(l ci.Limits) string { return time.Duration(l.Age).String() },
		func(l *ci.Limits, s string) error { return l.Age.UnmarshalText([]byte(s)) },
	},
	{
		"count", func(l ci.Limits) string { return strconv.Itoa(l.Count) },
		func(l *ci.Limits, s string) (err error) { l.Count, err = strconv.Atoi(s); return err },
	},
	{
		"bytes", func(l ci.Limits) string { return strconv.FormatInt(l.Bytes, 10) },
		func(l *ci.Limits, s string) (err error) { l.Bytes, err = units.RAMInBytes(s); return err },
	},
}

// keepSettings are the keys of a Keep of the configuration, such as keep.runs.age.
// What has no limits is not spoken of.
func keepSettings(name string, at func(*ci.Config) **ci.Keep, age bool) (list []setting) {
	for _, what := range ci.Kinds {
		for _, l := range limits {
			if l.name == "age" && !age {
				continue
			}
			list = append(list, setting{
				name: name + "." + what.Key() + "." + l.name,
				get: func(c *ci.Config) string {
					if of := (*at(c)).Of(what); of != nil {
						return l.get(*of)
					}
					return l.get(ci.Limits{})
				},
				set: func(c *ci.Config, s string) error {
					k := ci.Keep{}
					if *at(c) != nil {
						k = **at(c)
					}
					*at(c) = &k
					return setLimit(&k, what, func(to *ci.Limits) error { return l.set(to, s) })
				},
			})
		}
	}
	return list
}

// setLimit changes the limits of one kind, and leaves those that somebody else may share alone.
func setLimit(k *ci.Keep, what ci.Kept, set func(*ci.Limits) error) error {
	var to ci.Limits
	if there := k.Of(what); there != nil {
		to = *there
	}
	if err := set(&to); err != nil {
		return err
	}
	*limitsAt(k, what) = &to
	return nil
}

// readKeep reads what a job keeps from words such as results.age=168h; console=all
// is a kind without limits. No words are nil.
func readKeep(words []string) (*ci.Keep, error) {
	if len(words) == 0 {
		return nil, nil
	}
	k := &ci.Keep{}
	for _, word := range words {
		if err := readLimit(k, word); err != nil {
			return nil, usagef("--keep %s: %w", word, err)
		}
	}
	return k, nil
}

func readLimit(k *ci.Keep, word string) error {
	key, value, _ := strings.Cut(word, "=")
	kind, name, _ := strings.Cut(key, ".")
	for _, what := range ci.Kinds {
		if what.Key() != kind {
			continue
		}
		if name == "" && value == "all" {
			return setLimit(k, what, func(l *ci.Limits) error { *l = ci.Limits{}; return nil })
		}
		for _, l := range limits {
			if l.name == name {
				return setLimit(k, what, func(to *ci.Limits) error { return l.set(to, value) })
			}
		}
	}
	return fmt.Errorf("is not like results.age=168h: runs, results or console, then age, count or bytes; or console=all, which limits nothing")
}

// keepText is what a job keeps in words, as --keep reads them.
func keepText(k *ci.Keep) string {
	var words []string
	for _, what := range ci.Kinds {
		of := k.Of(what)
		switch {
		case of == nil:
		case of.None():
			words = append(words, what.Key()+"=all")
		default:
			for _, l := range limits {
				if v := l.get(*of); v != l.get(ci.Limits{}) {
					words = append(words, what.Key()+"."+l.name+"="+v)
				}
			}
		}
	}
	return strings.Join(words, " ")
}
