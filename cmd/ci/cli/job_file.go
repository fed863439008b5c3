package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/goccy/go-yaml"

	"ci/pkg/ci"
	"ci/pkg/jobfile"
)

// maxFile is the largest file that ci reads.
const maxFile = 4 << 20

// readFile reads a file that the user named; - is standard input.
func (a *app) readFile(path string) ([]byte, error) {
	var in io.Reader = a.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usagef("%w", err)
		}
		defer f.Close() //nolint:errcheck // only read from
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, usagef("%s can't be read: %w", fileName(path), err)
	}
	if len(data) > maxFile {
		return nil, usagef("%s has more than %d bytes", fileName(path), maxFile)
	}
	return data, nil
}

// fileName is how errors call a file.
func fileName(path string) string {
	if path == "-" {
		return "stdin"
	}
	return path
}

// jobDocument is a job as people write it: the body of PUT /jobs/{name}, and its name.
type jobDocument struct {
	Kind       string              `json:"-" yaml:"kind,omitempty"`
	Name       string              `json:"name" yaml:"name"`
	Git        *gitDocument        `json:"git,omitempty" yaml:"git,omitempty"`
	Freestyle  map[string]any      `json:"freestyle,omitempty" yaml:"freestyle,omitempty"`
	Parameters []parameterDocument `json:"parameters,omitempty" yaml:"parameters,omitempty"`
	Triggers   []string            `json:"triggers,omitempty" yaml:"triggers,omitempty"`
	Keep       *keepDocument       `json:"keep,omitempty" yaml:"keep,omitempty"`
}

type gitDocument struct {
	URL        string `json:"url" yaml:"url"`
	ConfigPath string `json:"configPath" yaml:"configPath"`
	SSHKey     string `json:"sshKey,omitempty" yaml:"sshKey,omitempty"`
}

type parameterDocument struct {
	Name        string `json:"name" yaml:"name"`
	Default     string `json:"default,omitempty" yaml:"default,omitempty"`
	Required    bool   `json:"required,omitempty" yaml:"required,omitempty"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
}

// parseJobs reads the documents of a file. Freestyle job files are checked.
func parseJobs(name string, data []byte) ([]ci.Job, error) {
	kinds, err := kindsOf(name, data)
	if err != nil {
		return nil, err
	}
	for i, kind := range kinds {
		if kind != kindJob {
			return nil, usagef("document %d of %s is no job but of kind %q; `ci apply` takes those", i+1, name, kind)
		}
	}
	var jobs []ci.Job
	dec := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	for {
		var d jobDocument
		if err := dec.Decode(&d); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, usagef("%s is not a file of jobs: %s", name, yaml.FormatError(err, false, true))
		}
		j, err := d.job(name)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

func (d *jobDocument) job(file string) (ci.Job, error) {
	j := ci.Job{Name: d.Name, Triggers: d.Triggers}
	var err error
	if j.Keep, err = d.Keep.keep(); err != nil {
		return j, usagef("job %s of %s: %w", d.Name, file, err)
	}
	if d.Git != nil {
		j.Git = &ci.Git{URL: d.Git.URL, ConfigPath: d.Git.ConfigPath, SSHKey: d.Git.SSHKey}
	}
	for _, p := range d.Parameters {
		j.Parameters = append(j.Parameters, ci.Parameter(p))
	}
	if d.Freestyle == nil {
		return j, nil
	}
	doc, err := json.Marshal(d.Freestyle)
	if err != nil {
		return j, usagef("job %s of %s: the freestyle part can't be written as JSON: %w", d.Name, file, err)
	}
	if _, err := jobfile.ParseFreestyle(doc); err != nil {
		return j, fmt.Errorf("job %s of %s: %w", d.Name, file, err)
	}
	j.Freestyle = doc
	return j, nil
}

// freestyle turns a job file into the JSON of a freestyle job. Faults have the file's lines.
func freestyle(name string, data []byte) ([]byte, error) {
	if _, err := jobfile.Parse(name, data, nil); err != nil {
		return nil, err
	}
	var doc map[string]any
	if err := yaml.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &doc); err != nil {
		return nil, usagef("%s: %w", name, err)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, usagef("%s can't be written as JSON: %w", name, err)
	}
	_, err = jobfile.ParseFreestyle(b)
	return b, err
}
