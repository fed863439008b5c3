package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// jsonFlag is --json: alone it prints the server's whole document, with
// FIELDS only these fields of it, and empty it lists the fields.
type jsonFlag struct {
	set bool
	// fields are chosen; nil is all.
	fields []string
	// list is the key of a document whose items have the fields; "" is the document itself.
	list string
	// known are the fields that can be chosen.
	known []string
}

// whole is what --json without a value means.
const whole = "*"

func (f *jsonFlag) String() string { return strings.Join(f.fields, ",") }
func (f *jsonFlag) Type() string   { return "fields" }

// Set takes the value of the flag. Which fields there are, use finds out.
func (f *jsonFlag) Set(value string) error {
	f.set, f.fields = true, nil
	if value != whole {
		f.fields = strings.Split(value, ",")
	}
	return nil
}

// The annotations in which a command says which fields its document has.
const (
	listAnnotation   = "json list"
	fieldsAnnotation = "json fields"
)

// document says what --json prints of cmd: an object with fields, or when list is
// not empty one that holds a list of such objects under that key.
func document(cmd *cobra.Command, list string, fields []string) *cobra.Command {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[listAnnotation], cmd.Annotations[fieldsAnnotation] = list, strings.Join(fields, ",")
	return cmd
}

// runDocument is document for verbs that print a run.
func runDocument(cmd *cobra.Command) *cobra.Command { return document(cmd, "", runFields) }

func fieldsOf(cmd *cobra.Command) []string {
	if s := cmd.Annotations[fieldsAnnotation]; s != "" {
		return strings.Split(s, ",")
	}
	return nil
}

// errListed ends a verb whose fields were asked for instead.
var errListed = &exitError{code: exitSucceeded}

// use checks the chosen fields against those of cmd.
func (a *app) useFields(cmd *cobra.Command) error {
	f := &a.json
	f.list, f.known = cmd.Annotations[listAnnotation], fieldsOf(cmd)
	switch {
	case f.fields == nil:
		return nil
	case len(f.known) == 0:
		return fmt.Errorf("--json of `%s` has no fields to choose from; give it without a value", cmd.CommandPath())
	case slices.Equal(f.fields, []string{""}):
		fmt.Fprintln(a.Out, strings.Join(f.known, "\n"))
		return errListed
	}
	for _, name := range f.fields {
		if !slices.Contains(f.known, name) {
			return fmt.Errorf("--json: there is no field %q; known are %s", name, strings.Join(f.known, ", "))
		}
	}
	return nil
}

// choose keeps the chosen fields of a document, in the order in which they were
// asked for. A field that the document leaves out is null.
func (f *jsonFlag) choose(doc json.RawMessage) (json.RawMessage, error) {
	if f.fields == nil || len(bytes.TrimSpace(doc)) == 0 {
		return doc, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(doc, &object); err != nil {
		return nil, fmt.Errorf("the document is not an object: %w", err)
	}
	if f.list == "" {
		return f.project(object)
	}
	var items []map[string]json.RawMessage
	if err := json.Unmarshal(object[f.list], &items); len(object[f.list]) > 0 && err != nil {
		return nil, fmt.Errorf("%s is not a list of objects: %w", f.list, err)
	}
	projected := make([]json.RawMessage, len(items))
	for i, item := range items {
		var err error
		if projected[i], err = f.project(item); err != nil {
			return nil, err
		}
	}
	return json.Marshal(map[string]any{f.list: projected})
}

func (f *jsonFlag) project(object map[string]json.RawMessage) (json.RawMessage, error) {
	var b bytes.Buffer
	for i, name := range f.fields {
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		value := object[name]
		if len(value) == 0 {
			value = json.RawMessage("null")
		}
		b.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// joinFields writes "--json FIELDS" as "--json=FIELDS", which is how pflag reads
// a value that may be missing. A word counts as FIELDS when the verb has such
// fields, when it is empty, and when it holds a comma, which no name does.
func joinFields(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil {
		return args
	}
	known := fieldsOf(cmd)
	joined := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(joined, args[i:]...)
		}
		if args[i] == "--json" && i+1 < len(args) && isFields(args[i+1], known) {
			joined = append(joined, "--json="+args[i+1])
			i++
			continue
		}
		joined = append(joined, args[i])
	}
	return joined
}

func isFields(word string, known []string) bool {
	return word == "" || slices.Contains(known, word) || strings.Contains(word, ",") && !strings.HasPrefix(word, "-")
}

// outputFlags are those that say in which form data is printed.
func (a *app) outputFlags(flags *pflag.FlagSet) {
	flags.Var(&a.json, "json", "print the server's JSON, or only these `fields` of it (a,b); an empty value lists the fields")
	flags.Lookup("json").NoOptDefVal = whole
	flags.StringVar(&a.jq, "jq", "", "print what this jq `expression` makes of the JSON")
	flags.StringVar(&a.template, "template", "", "print what this Go `template` makes of the JSON; functions: json, join, age, truncate")
}

// The fields of the API's documents, as it names them. A test holds them
// against the API's definition.
var (
	runFields = []string{
		"id", "job", "jobVersion", "status", "phase", "outcome", "reason", "exitCode", "scriptStarted", "commitSha", "branchName", "parameters",
		"priority", "triggeredBy", "parent", "origin", "trace", "git", "class", "agent", "abortRequestedAt", "times", "console", "spec", "steps", "images",
		"resultsExpiredAt", "consoleExpiredAt",
	}
	jobFields   = []string{"name", "git", "freestyle", "parameters", "triggers", "owner", "keep", "version", "createdAt", "updatedAt"}
	agentFields = []string{
		"id", "version", "cpus", "memory", "freeCpus", "freeMemory", "cpuLoad", "runs", "draining", "refusals", "problem", "leftovers", "seenAt", "warnings", "leaving",
	}
	queueFields    = []string{"class", "priority", "queued", "oldest"}
	resultFields   = []string{"name", "contentType", "size", "sha256", "href", "filename", "files", "createdAt", "run", "expiredAt"}
	configFields   = []string{"globalTimeout", "abortGrace", "classes", "maxConsole", "maxResult", "maxResultFiles", "retention", "agentRetention", "keep", "keepTotal", "version"}
	tokenFields    = []string{"id", "name", "role", "jobs", "agent", "createdAt", "expiresAt", "revokedAt"}
	secretFields   = []string{"name", "version", "updatedAt", "updatedBy", "job"}
	registryFields = []string{"host", "username", "updatedAt", "updatedBy"}
	forgeFields    = []string{"name", "kind", "url", "apiUrl", "appId", "slug", "privateKey", "webhookSecret", "token", "version", "createdAt", "updatedAt"}
	sshKeyFields   = []string{"name", "hosts", "publicKey", "fingerprint", "createdAt", "version"}
	// These are the command line's own documents.
	testFields    = []string{"status", "suites", "class", "name", "file", "line", "seconds", "message", "details", "flaky"}
	contextFields = []string{"name", "url", "current"}
	eventFields   = []string{"seq", "type", "run", "job", "phase", "outcome", "at"}
)
