package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"ci/pkg/ci"
)

// endpoint is a server and what opens it.
type endpoint struct {
	URL   string `json:"url"`
	Token string `json:"token,omitempty"`
	// trace is where we are in a distributed trace; nil for nowhere.
	trace *ci.Trace
}

// contexts is the file that `ci login` writes.
type contexts struct {
	// Current is the context that is used when none is named.
	Current  string              `json:"current,omitempty"`
	Contexts map[string]endpoint `json:"contexts"`
}

// endpoint is the server that is meant: CI_URL and CI_TOKEN first, then the
// context of --context, then the current one. A stored token goes to no other
// server than its own.
func (a *app) endpoint() (endpoint, error) {
	address, token := a.Env("CI_URL"), a.Env("CI_TOKEN")
	if address != "" {
		clean, err := checkURL(address)
		if err != nil {
			return endpoint{}, usagef("CI_URL: %w", err)
		}
		if a.context != "" {
			fmt.Fprintln(a.Err, "ci: CI_URL is set, so --context is not used.")
		}
		return endpoint{URL: clean, Token: token, trace: a.trace()}, nil
	}
	stored, err := a.loadContexts()
	if err != nil {
		return endpoint{}, err
	}
	name := a.context
	if name == "" {
		name = stored.Current
	}
	if name == "" {
		return endpoint{}, usagef("no server is known; run `ci login URL`, or set CI_URL and CI_TOKEN")
	}
	e, ok := stored.Contexts[name]
	if !ok {
		return endpoint{}, usagef("there is no context %q; %s", name, stored.known())
	}
	if token != "" {
		e.Token = token
	}
	e.trace = a.trace()
	return e, nil
}

// trace is where whoever calls us says that we are in a distributed trace.
func (a *app) trace() *ci.Trace {
	return ci.ParseTrace(a.Env(ci.TraceParentVariable), a.Env(ci.TraceStateVariable))
}

// known lists the contexts for a sentence.
func (c *contexts) known() string {
	if len(c.Contexts) == 0 {
		return "there is none; `ci login URL` makes one"
	}
	return "there are " + strings.Join(c.names(), ", ")
}

func (c *contexts) names() []string {
	names := make([]string, 0, len(c.Contexts))
	for n := range c.Contexts {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// checkURL wants a server's address, and returns it without a slash at its end.
func checkURL(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Host == "":
		return "", fmt.Errorf("%q is not a server's address; expected https://host[:port]", s)
	case u.User != nil:
		return "", errors.New("the address holds a name or password; it must be without, `ci login` asks for a token")
	case u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%q has a ? or # part; expected https://host[:port]", s)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// contextsPath is where the contexts are kept, by the XDG Base Directory rules.
func (a *app) contextsPath() (string, error) {
	if dir := a.Env("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "ci", "config.json"), nil
	}
	home := a.Env("HOME")
	if home == "" {
		return "", usagef("neither XDG_CONFIG_HOME nor HOME is set, so there is no place for contexts; set CI_URL and CI_TOKEN instead")
	}
	return filepath.Join(home, ".config", "ci", "config.json"), nil
}

// loadContexts reads the stored contexts; none is fine.
func (a *app) loadContexts() (*contexts, error) {
	c := &contexts{Contexts: map[string]endpoint{}}
	path, err := a.contextsPath()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(data, c)
	}
	if err != nil {
		return nil, usagef("the stored contexts can't be read: %w; correct or remove %s", err, path)
	}
	if c.Contexts == nil {
		c.Contexts = map[string]endpoint{}
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(a.Err, "ci: others may read your tokens; run: chmod 600 %s\n", path)
	}
	return c, nil
}

// saveContexts writes the contexts in one step, for the user's eyes only.
func (a *app) saveContexts(c *contexts) error {
	path, err := a.contextsPath()
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("the contexts can't be stored: %w", err)
	}
	// CreateTemp makes files of mode 0600.
	return writeFile(path, func(f *os.File) error {
		_, err := f.Write(append(data, '\n'))
		return err
	})
}

// writeFile makes or replaces a file in one step: it is there whole, or as before.
func writeFile(path string, write func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("%s can't be written: %w", path, err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is gone when all went well
	if err := errors.Join(write(f), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("%s can't be written: %w", path, err)
	}
	return nil
}
