package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"

	"ci/pkg/ci"
)

// The kinds of documents.
const (
	kindJob          = "job"
	kindEventTrigger = "event-trigger"
	kindPipeline     = "pipeline"
)

// folderOf is the folder that `ci export -o` puts things of a kind into.
var folderOf = map[string]string{kindEventTrigger: "event-triggers", kindPipeline: "pipelines"}

// things are what files say.
type things struct {
	jobs      []ci.Job
	triggers  []ci.EventTrigger
	pipelines []ci.Pipeline
	in        map[string]string // the file of each, by kind and name
}

// read reads and checks all files.
func (o *applyOptions) read() (*things, error) {
	all := &things{in: map[string]string{}}
	for _, file := range o.files {
		paths, err := jobFiles(file)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			data, err := o.readFile(path)
			if err != nil {
				return nil, err
			}
			if err := all.read(path, data, o.owner); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// read adds what a file says, in two goes: what kind each document is of, and
// then each strictly, so that a fault has its line.
func (t *things) read(path string, data []byte, owner string) error {
	kinds, err := kindsOf(path, data)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	for _, kind := range kinds {
		var name string
		switch kind {
		case kindJob:
			name, err = t.readJob(path, dec, owner)
		case kindEventTrigger:
			name, err = t.readTrigger(path, dec)
		default:
			name, err = t.readPipeline(path, dec)
		}
		switch {
		case err != nil && name == "":
			return err
		case err != nil:
			return fmt.Errorf("%s %s of %s: %w", kind, name, fileName(path), err)
		}
		key := kind + " " + name
		if first, twice := t.in[key]; twice {
			return usagef("%s is in %s and in %s; keep one", key, first, fileName(path))
		}
		t.in[key] = fileName(path)
	}
	return nil
}

// kindsOf are the kinds of a file's documents.
func kindsOf(path string, data []byte) ([]string, error) {
	var kinds []string
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var d struct {
			Kind string `yaml:"kind"`
		}
		if err := dec.Decode(&d); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, notThings(path, err)
		}
		switch d.Kind {
		case "":
			d.Kind = kindJob
		case kindJob, kindEventTrigger, kindPipeline:
		default:
			return nil, usagef("document %d of %s is of kind %q; it is %s, %s or %s", len(kinds)+1, fileName(path), d.Kind, kindJob, kindEventTrigger, kindPipeline)
		}
		kinds = append(kinds, d.Kind)
	}
	if len(kinds) == 0 {
		return nil, usagef("%s holds no job, event trigger or pipeline", fileName(path))
	}
	return kinds, nil
}

func notThings(path string, err error) error {
	return usagef("%s is not a file of jobs, event triggers and pipelines: %s", fileName(path), yaml.FormatError(err, false, true))
}

func (t *things) readJob(path string, dec *yaml.Decoder, owner string) (string, error) {
	var d jobDocument
	if err := dec.Decode(&d); err != nil {
		return "", notThings(path, err)
	}
	j, err := d.job(fileName(path))
	if err != nil {
		return "", err
	}
	j.Owner = owner
	t.jobs = append(t.jobs, j)
	return j.Name, j.Validate()
}

func (t *things) readTrigger(path string, dec *yaml.Decoder) (string, error) {
	var d eventTriggerDocument
	if err := dec.Decode(&d); err != nil {
		return "", notThings(path, err)
	}
	made := d.trigger()
	t.triggers = append(t.triggers, made)
	return made.Name, made.Validate()
}

func (t *things) readPipeline(path string, dec *yaml.Decoder) (string, error) {
	var d pipelineDocument
	if err := dec.Decode(&d); err != nil {
		return "", notThings(path, err)
	}
	p := ci.Pipeline{Name: d.Name, Program: d.Program}
	if d.File != "" {
		if d.Program != "" {
			return d.Name, usagef("it has a program and a file; keep one")
		}
		file := d.File
		if !filepath.IsAbs(file) && path != "-" {
			file = filepath.Join(filepath.Dir(path), file)
		}
		var err error
		if p.Program, err = readProgramFile(file); err != nil {
			return d.Name, err
		}
	}
	t.pipelines = append(t.pipelines, p)
	return p.Name, p.Validate()
}

// eventTriggerDocument is an event trigger as people write it.
type eventTriggerDocument struct {
	Kind         string            `yaml:"kind"`
	Name         string            `yaml:"name"`
	Forge        string            `yaml:"forge,omitempty"`
	Repository   string            `yaml:"repository"`
	RepositoryID int64             `yaml:"repositoryId,omitempty"`
	Job          string            `yaml:"job"`
	Events       []ci.EventKind    `yaml:"events,omitempty"`
	Branches     []string          `yaml:"branches,omitempty"`
	Tags         []string          `yaml:"tags,omitempty"`
	Paths        []string          `yaml:"paths,omitempty"`
	Parameters   map[string]string `yaml:"parameters,omitempty"`
	Priority     ci.Priority       `yaml:"priority,omitempty"`
	Forks        ci.ForkPolicy     `yaml:"forks,omitempty"`
	Supersede    bool              `yaml:"supersede,omitempty"`
}

func (d *eventTriggerDocument) trigger() ci.EventTrigger {
	t := ci.EventTrigger{
		Name: d.Name, Forge: d.Forge, Repository: d.Repository, RepositoryID: d.RepositoryID, Job: d.Job, Events: d.Events, Branches: d.Branches, Tags: d.Tags, Paths: d.Paths,
		Parameters: d.Parameters, Priority: d.Priority, Forks: d.Forks, Supersede: d.Supersede,
	}
	t.Defaults()
	return t
}

// eventTriggerText is a trigger as a document that reads back as the same, defaults said.
func eventTriggerText(t *ci.EventTrigger) (string, error) {
	d := eventTriggerDocument{
		Kind: kindEventTrigger, Name: t.Name, Forge: t.Forge, Repository: t.Repository, RepositoryID: t.RepositoryID, Job: t.Job, Events: t.Events, Branches: t.Branches, Tags: t.Tags, Paths: t.Paths,
		Parameters: t.Parameters, Priority: t.Priority, Forks: t.Forks, Supersede: t.Supersede,
	}
	return documentText(t.Name, d)
}

// documentText is a document that reads back as the same: YAML for people, or
// JSON, which is YAML too, for values that YAML's blocks would not keep.
func documentText[T any](name string, d T) (string, error) {
	for _, options := range [][]yaml.EncodeOption{{yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true)}, {yaml.JSON()}} {
		text, err := yaml.MarshalWithOptions(d, options...)
		if err != nil {
			continue
		}
		var back T
		if yaml.Unmarshal(text, &back) == nil && reflect.DeepEqual(back, d) {
			return strings.TrimSuffix(string(text), "\n") + "\n", nil
		}
	}
	return "", ci.Errorf(ci.CodeInternal, "%s can't be written so that it reads back as the same; --json prints it", name)
}

// pipelineDocument is a pipeline as people write it, with its text or the file that holds it.
type pipelineDocument struct {
	Kind    string `yaml:"kind"`
	Name    string `yaml:"name"`
	Program string `yaml:"program,omitempty"`
	File    string `yaml:"file,omitempty"`
}

// pipelineText is a pipeline as a document that reads back as the same.
func pipelineText(p *ci.Pipeline) (string, error) {
	return documentText(p.Name, pipelineDocument{Kind: kindPipeline, Name: p.Name, Program: p.Program})
}
