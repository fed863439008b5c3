package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

const eventTriggerHelp = `Manage event triggers: what starts a job's runs when a forge tells of a push, a pull request, a tag, a release or a comment.

A trigger's name is that of the check beside the commit. docs/guides/github.md lists what a trigger can say.`

func newEventTrigger(a *app) *cobra.Command {
	cmd := parent("event-trigger", "Manage what starts runs at events of a repository",
		newEventTriggerApply(a), newEventTriggerList(a), newEventTriggerShow(a), newEventTriggerRemove(a))
	cmd.Long = eventTriggerHelp
	cmd.Aliases = []string{"event-triggers"}
	return cmd
}

var eventTriggerFields = []string{
	"name", "forge", "repository", "repositoryId", "events", "branches", "tags", "paths", "job", "parameters", "priority", "forks", "supersede", "version", "createdAt", "updatedAt",
}

// eventTrigger is one as the server's documents say it.
type eventTrigger struct {
	Name       string            `json:"name"`
	Forge      string            `json:"forge"`
	Repository string            `json:"repository"`
	Events     []string          `json:"events"`
	Branches   []string          `json:"branches"`
	Tags       []string          `json:"tags"`
	Paths      []string          `json:"paths"`
	Job        string            `json:"job"`
	Parameters map[string]string `json:"parameters"`
	Priority   string            `json:"priority"`
	Forks      string            `json:"forks"`
	Supersede  bool              `json:"supersede"`
	Version    int64             `json:"version"`
	UpdatedAt  time.Time         `json:"updatedAt"`
}

func eventTriggerPath(name string) string { return at("github", "triggers", name) }

func eventTriggerPiped() []column[eventTrigger] {
	return []column[eventTrigger]{
		{"name", func(t eventTrigger) string { return t.Name }, nil},
		{"job", func(t eventTrigger) string { return t.Job }, nil},
		{"forge", func(t eventTrigger) string { return t.Forge }, nil},
		{"repository", func(t eventTrigger) string { return t.Repository }, nil},
		{"events", func(t eventTrigger) string { return strings.Join(t.Events, ",") }, nil},
		{"version", func(t eventTrigger) string { return strconv.FormatInt(t.Version, 10) }, nil},
		{"updated", func(t eventTrigger) string { return stamp(t.UpdatedAt) }, nil},
	}
}

const eventTriggerApplyHelp = `Create or replace event triggers with what FILE says; - is standard input. It is YAML or JSON, one document or several:

  name: unit-test                 # of the check, too
  repository: example/app
  job: unit-test
  events: [push, pull_request]    # and branches, tags, paths, parameters, forks, supersede, forge

ci apply does the same with folders beside jobs and pipelines, shows what differs, and deletes what is gone.

What a document leaves out becomes what it is without: nothing of an earlier version stays.`

func newEventTriggerApply(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "apply FILE", Aliases: []string{"put", "set"}, Short: "Create or replace event triggers with what a file says",
		Long:    eventTriggerApplyHelp + "\n\n" + pipedColumns(eventTriggerPiped()) + " With --json each trigger is a line.",
		Example: "  ci event-trigger apply triggers.yaml\n  ci event-trigger show unit-test --json | ci event-trigger apply -",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.eventTriggerApply(cmd.Context(), args[0]) },
	}
	return document(cmd, "", eventTriggerFields)
}

func (a *app) eventTriggerApply(ctx context.Context, file string) error {
	data, err := a.readFile(file)
	if err != nil {
		return err
	}
	docs, err := eventTriggerDocuments(fileName(file), data)
	if err != nil {
		return err
	}
	r, err := a.rest()
	if err != nil {
		return err
	}
	var stored []eventTrigger
	for _, doc := range docs {
		name, _ := doc["name"].(string) // eventTriggerDocuments has seen it
		var t eventTrigger
		answer, err := r.ask(ctx, http.MethodPut, eventTriggerPath(name), doc, &t)
		if err != nil {
			return fmt.Errorf("trigger %s of %s: %w", clean(name), fileName(file), err)
		}
		if a.wantsJSON() {
			if err := a.printItem(ctx, answer); err != nil {
				return err
			}
		}
		stored = append(stored, t)
	}
	if !a.wantsJSON() {
		a.printEventTriggers(stored)
	}
	return nil
}

// eventTriggerDocuments reads the documents of a file. What is in them, the server checks.
func eventTriggerDocuments(file string, data []byte) ([]map[string]any, error) {
	var docs []map[string]any
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc map[string]any
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, usagef("%s is not a file of event triggers: %s", file, yaml.FormatError(err, false, true))
		}
		name, _ := doc["name"].(string)
		if err := ci.ValidateName(name); err != nil {
			return nil, usagef("document %d of %s has no name that can be one: %w", len(docs)+1, file, err)
		}
		if kind, said := doc["kind"]; said && kind != kindEventTrigger {
			return nil, usagef("document %d of %s is no event trigger but of kind %v; `ci apply` takes those", len(docs)+1, file, kind)
		}
		delete(doc, "kind")
		docs = append(docs, doc)
	}
	if len(docs) == 0 {
		return nil, usagef("%s holds no event trigger", file)
	}
	return docs, nil
}

func newEventTriggerList(a *app) *cobra.Command {
	var job string
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List event triggers by name",
		Long: "List event triggers by name.\n\n" + pipedColumns(eventTriggerPiped()), Example: "  ci event-trigger ls --job unit-test", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := a.rest()
			if err != nil {
				return err
			}
			query := url.Values{}
			if job != "" {
				query.Set("job", job)
			}
			doc, err := r.list(cmd.Context(), "/github/triggers", query, "triggers", 0)
			if err != nil || a.wantsJSON() {
				return firstOf(err, func() error { return a.printJSON(cmd.Context(), doc) })
			}
			var got struct{ Triggers []eventTrigger }
			if err := json.Unmarshal(doc, &got); err != nil {
				return err
			}
			a.printEventTriggers(got.Triggers)
			return nil
		},
	}
	cmd.Flags().StringVar(&job, "job", "", "only those of this `job`")
	return document(cmd, "triggers", eventTriggerFields)
}

func (a *app) printEventTriggers(list []eventTrigger) {
	printTable(a, list, []column[eventTrigger]{
		{"TRIGGER", func(t eventTrigger) string { return t.Name }, func(eventTrigger) style { return bold }},
		{"JOB", func(t eventTrigger) string { return t.Job }, nil},
		{"REPOSITORY", func(t eventTrigger) string { return t.Forge + " " + t.Repository }, nil},
		{"EVENTS", func(t eventTrigger) string { return strings.Join(t.Events, ", ") }, nil},
		{"UPDATED", func(t eventTrigger) string { return age(a.Now(), t.UpdatedAt) }, nil},
	}, eventTriggerPiped())
}

func newEventTriggerShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show TRIGGER", Aliases: []string{"view", "get"}, Short: "Show an event trigger",
		Example: "  ci event-trigger show unit-test", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.eventTriggerShow(cmd.Context(), args[0]) },
	}
	return document(cmd, "", eventTriggerFields)
}

func (a *app) eventTriggerShow(ctx context.Context, name string) error {
	if a.wantsJSON() {
		return a.printGet(ctx, eventTriggerPath(name))
	}
	r, err := a.rest()
	if err != nil {
		return err
	}
	var t eventTrigger
	if _, err := r.ask(ctx, http.MethodGet, eventTriggerPath(name), nil, &t); err != nil {
		return err
	}
	pairs := []pair{{"trigger", t.Name}, {"job", t.Job}, {"forge", t.Forge}, {"repository", t.Repository}, {"events", strings.Join(t.Events, ", ")}}
	for _, globs := range []struct {
		name string
		list []string
	}{{"branches", t.Branches}, {"tags", t.Tags}, {"paths", t.Paths}} {
		if len(globs.list) > 0 {
			pairs = append(pairs, pair{globs.name, strings.Join(globs.list, ", ")})
		}
	}
	for _, key := range sortedKeys(t.Parameters) {
		pairs = append(pairs, pair{"parameter " + clean(key), t.Parameters[key]})
	}
	pairs = append(pairs, pair{"priority", t.Priority}, pair{"forks", t.Forks}, pair{"supersede", strconv.FormatBool(t.Supersede)},
		pair{"version", strconv.FormatInt(t.Version, 10)}, pair{"updated", stamp(t.UpdatedAt)})
	a.printPairs(pairs)
	return nil
}

func newEventTriggerRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm TRIGGER…", Aliases: []string{"remove", "delete"}, Short: "Delete event triggers; the runs that they started stay",
		Example: "  ci event-trigger rm old-test", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.rest()
			if err != nil {
				return err
			}
			for _, name := range args {
				if _, err := r.document(cmd.Context(), http.MethodDelete, eventTriggerPath(name), nil); err != nil {
					return err
				}
				a.note("%s deleted", clean(name))
			}
			return nil
		},
	}
}
