// Package setting gives every flag of a server program two more ways to be
// set: an environment variable and a key of a YAML file. There is no list to
// forget: the flags are the list.
package setting

import (
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"
)

// FileFlag is the flag that names the file; it can't stand in the file itself.
const FileFlag = "config"

// Loader reads settings for one program.
type Loader struct {
	// Prefix begins every environment variable: "CID" makes CID_LISTEN of --listen.
	Prefix string
	// Getenv looks a variable up; os.LookupEnv outside of tests.
	Getenv func(string) (string, bool)
}

// Env names the variable of a flag.
func (l Loader) Env(flag string) string {
	return l.Prefix + "_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Describe adds each flag's variable to its help text.
func (l Loader) Describe(fs *pflag.FlagSet) {
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && f.Name != "version" {
			f.Usage += fmt.Sprintf(" [$%s]", l.Env(f.Name))
		}
	})
}

// Load fills flags that the command line left alone: from the environment,
// else from the file that --config names. A key that is no flag is an error.
func (l Loader) Load(fs *pflag.FlagSet) error {
	if err := l.fromEnv(fs, FileFlag); err != nil {
		return err
	}
	file, err := readFile(fs)
	if err != nil {
		return err
	}
	var first error
	fs.VisitAll(func(f *pflag.Flag) {
		if first == nil && !f.Changed {
			first = l.fill(fs, f.Name, file)
		}
		delete(file, f.Name)
	})
	if first != nil || len(file) == 0 {
		return first
	}
	unknown := make([]string, 0, len(file))
	for k := range file {
		unknown = append(unknown, k)
	}
	sort.Strings(unknown)
	return fmt.Errorf("%s: unknown settings: %s; --help lists all", fs.Lookup(FileFlag).Value, strings.Join(unknown, ", "))
}

func (l Loader) fill(fs *pflag.FlagSet, name string, file map[string][]string) error {
	if _, ok := l.Getenv(l.Env(name)); ok {
		return l.fromEnv(fs, name)
	}
	for _, v := range file[name] {
		if err := fs.Set(name, v); err != nil {
			return fmt.Errorf("%s: %s: %w", fs.Lookup(FileFlag).Value, name, err)
		}
	}
	return nil
}

func (l Loader) fromEnv(fs *pflag.FlagSet, name string) error {
	v, ok := l.Getenv(l.Env(name))
	if f := fs.Lookup(name); !ok || f == nil || f.Changed {
		return nil
	}
	if err := fs.Set(name, v); err != nil {
		return fmt.Errorf("environment variable %s: %w", l.Env(name), err)
	}
	return nil
}

// readFile returns each key's values as text; a list has several.
func readFile(fs *pflag.FlagSet) (map[string][]string, error) {
	f := fs.Lookup(FileFlag)
	if f == nil || f.Value.String() == "" {
		return nil, nil
	}
	b, err := os.ReadFile(f.Value.String())
	if err != nil {
		return nil, fmt.Errorf("the file of --%s can't be read: %w", FileFlag, err)
	}
	var raw map[string]any
	if err := yaml.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Value, err)
	}
	values := make(map[string][]string, len(raw))
	for k, v := range raw {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, one := range list {
			values[k] = append(values[k], fmt.Sprint(one))
		}
	}
	return values, nil
}
