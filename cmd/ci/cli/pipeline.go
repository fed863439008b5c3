package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/api"
	"ci/pkg/ci"
)

const pipelineHelp = `Pipelines are small programs that trigger runs, wait for them and decide what comes next. They survive whatever dies.

A run of a pipeline is named NAME/ID, or NAME for the latest. CI_PIPELINES_URL names a server of pipelines that is a process of its own.`

func newPipeline(a *app) *cobra.Command {
	cmd := parent("pipeline", "Manage pipelines and their runs",
		newPipelineApply(a), newPipelineList(a), newPipelineShow(a), newPipelineRemove(a), newPipelineCheck(a),
		newPipelineRun(a), newPipelineRuns(a), newPipelineWatch(a), newPipelineGraph(a), newPipelineApprove(a), newPipelineAbort(a), newPipelineRerun(a))
	cmd.Long = pipelineHelp
	cmd.Aliases = []string{"pipelines"}
	return cmd
}

var (
	pipelineFields    = []string{"name", "program", "source", "parameters", "version", "createdAt", "updatedAt", "updatedBy"}
	pipelineRunFields = []string{"id", "pipeline", "version", "status", "outcome", "reason", "parameters", "triggeredBy", "rerunOf", "trace", "triggered", "abortRequestedAt", "done", "calls"}
)

// pipelines is the server of pipelines: the API's own, or one apart.
func (a *app) pipelines() (*rest, error) {
	e, err := a.pipelineEndpoint()
	if err != nil {
		return nil, err
	}
	return newREST(e, a.userAgent()), nil
}

func (a *app) pipelineEndpoint() (endpoint, error) {
	e, err := a.endpoint()
	if apart := a.Env("CI_PIPELINES_URL"); err == nil && apart != "" {
		if e.URL, err = checkURL(apart); err != nil {
			return e, usagef("CI_PIPELINES_URL: %w", err)
		}
	}
	return e, err
}

// pipelineClient is the API of pipelines; retry is as in dial.
func (a *app) pipelineClient(retry time.Duration) (*api.Client, error) {
	e, err := a.pipelineEndpoint()
	if err != nil {
		return nil, err
	}
	return api.New(api.Config{URL: e.URL, Token: e.Token, UserAgent: a.userAgent(), Retry: retry})
}

// ask sends in, unless nil, and reads the answer into out; the document is returned as it is, too.
func (r *rest) ask(ctx context.Context, method, path string, in, out any) (json.RawMessage, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	doc, err := r.document(ctx, method, path, body)
	if err != nil || out == nil {
		return doc, err
	}
	if err := json.Unmarshal(doc, out); err != nil {
		return nil, ci.Errorf(ci.CodeInternal, "the server's answer is not what belongs here: %w", err)
	}
	return doc, nil
}

type pipelineApplyOptions struct {
	*app
	commit string
}

func newPipelineApply(a *app) *cobra.Command {
	o := &pipelineApplyOptions{app: a}
	cmd := &cobra.Command{
		Use: "apply PIPELINE FILE", Aliases: []string{"put", "set"}, Short: "Create or replace a pipeline",
		Long: "Create or replace a pipeline with the program in FILE; - is standard input. Applying the same again changes nothing. Runs that are in progress keep the text that they began with.\n\n" +
			"With --commit the file is read from the git repository of the working directory at that commit, and the pipeline tells where it came from.\n\n" +
			"Columns in a pipe, separated by tabs: name, version.",
		Example: "  ci pipeline apply release release.star",
		Args:    cobra.ExactArgs(2),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0], args[1]) },
	}
	cmd.Flags().StringVar(&o.commit, "commit", "", "read FILE, a path in the repository, at this `commit`")
	return document(cmd, "", pipelineFields)
}

func (o *pipelineApplyOptions) run(ctx context.Context, name, file string) error {
	p := ci.Pipeline{Name: name}
	var err error
	if o.commit != "" {
		p.Program, p.Source, err = o.atCommit(ctx, file)
	} else {
		p.Program, err = o.readProgram(file)
	}
	if err != nil {
		return err
	}
	r, err := o.pipelines()
	if err != nil {
		return err
	}
	doc, err := r.ask(ctx, http.MethodPut, at("pipelines", name), map[string]any{"program": p.Program, "source": p.Source}, &p)
	if err != nil {
		return err
	}
	if o.wantsJSON() {
		return o.printJSON(ctx, doc)
	}
	if !o.OutTTY {
		fmt.Fprintf(o.Out, "%s\t%d\n", clean(p.Name), p.Version)
	}
	o.hint("%s is at version %d. Next: ci pipeline run %s", clean(p.Name), p.Version, clean(p.Name))
	return nil
}

func (a *app) readProgram(file string) (string, error) {
	if file == "-" {
		return readAll(a.In)
	}
	return readProgramFile(file)
}

func readProgramFile(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", usagef("the program can't be read: %w", err)
	}
	return string(text), nil
}

// atCommit reads one file of the working directory's repository at one commit.
func (o *pipelineApplyOptions) atCommit(ctx context.Context, path string) (string, *ci.PipelineSource, error) {
	sha, err := o.resolveCommit(ctx, o.commit)
	if err != nil {
		return "", nil, err
	}
	git := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = o.dir
		out, err := cmd.Output()
		return string(out), err
	}
	text, err := git("show", sha+":"+path)
	if err != nil {
		return "", nil, usagef("commit %s has no file %q, seen from the repository's root", shortSHA(sha), path)
	}
	remote, err := git("remote", "get-url", "origin")
	if err != nil {
		remote = "" // a repository of nobody else's
	}
	address := strings.TrimSpace(remote)
	if u, err := url.Parse(address); err == nil && u.User != nil && u.Scheme != "ssh" {
		u.User = nil // a password in an address stays here
		address = u.String()
	}
	return text, &ci.PipelineSource{URL: address, Commit: sha, Path: path}, nil
}

func newPipelineList(a *app) *cobra.Command {
	piped := pipelineColumns()
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List pipelines by name",
		Long: "List pipelines by name.\n\n" + pipedColumns(piped), Example: "  ci pipeline ls", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := a.pipelines()
			if err != nil {
				return err
			}
			doc, err := r.list(cmd.Context(), "/pipelines", nil, "pipelines", 0)
			if err != nil || a.wantsJSON() {
				return firstOf(err, func() error { return a.printJSON(cmd.Context(), doc) })
			}
			var got struct{ Pipelines []ci.Pipeline }
			if err := json.Unmarshal(doc, &got); err != nil {
				return err
			}
			printTable(a, got.Pipelines, []column[ci.Pipeline]{
				{"PIPELINE", func(p ci.Pipeline) string { return p.Name }, func(ci.Pipeline) style { return bold }},
				{"VERSION", func(p ci.Pipeline) string { return strconv.FormatInt(p.Version, 10) }, nil},
				{"UPDATED", func(p ci.Pipeline) string { return age(a.Now(), p.UpdatedAt) }, nil},
				{"BY", func(p ci.Pipeline) string { return p.UpdatedBy }, nil},
			}, piped)
			return nil
		},
	}
	return document(cmd, "pipelines", pipelineFields)
}

// firstOf is err, or what else returns when there is none.
func firstOf(err error, otherwise func() error) error {
	if err != nil {
		return err
	}
	return otherwise()
}

func pipelineColumns() []column[ci.Pipeline] {
	return []column[ci.Pipeline]{
		{"name", func(p ci.Pipeline) string { return p.Name }, nil},
		{"version", func(p ci.Pipeline) string { return strconv.FormatInt(p.Version, 10) }, nil},
		{"updated", func(p ci.Pipeline) string { return stamp(p.UpdatedAt) }, nil},
		{"by", func(p ci.Pipeline) string { return p.UpdatedBy }, nil},
	}
}

func newPipelineShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show PIPELINE", Aliases: []string{"view", "get"}, Short: "Show a pipeline and its program",
		Example: "  ci pipeline show release", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.pipelineShow(cmd.Context(), args[0]) },
	}
	return document(cmd, "", pipelineFields)
}

func (a *app) pipelineShow(ctx context.Context, name string) error {
	r, err := a.pipelines()
	if err != nil {
		return err
	}
	var p ci.Pipeline
	doc, err := r.ask(ctx, http.MethodGet, at("pipelines", name), nil, &p)
	if err != nil || a.wantsJSON() {
		return firstOf(err, func() error { return a.printJSON(ctx, doc) })
	}
	pairs := []pair{{"pipeline", p.Name}, {"version", strconv.FormatInt(p.Version, 10)}, {"updated", stamp(p.UpdatedAt)}, {"by", p.UpdatedBy}}
	if s := p.Source; s != nil {
		pairs = append(pairs, pair{"source", s.URL + " " + s.Path + " at " + s.Commit})
	}
	for _, parameter := range p.Parameters {
		what := parameter.Type + ", default " + strconv.Quote(parameter.Default)
		if parameter.Required {
			what = parameter.Type + ", required"
		}
		pairs = append(pairs, pair{"parameter " + clean(parameter.Name), what})
	}
	a.printPairs(pairs)
	fmt.Fprintln(a.Out)
	fmt.Fprintln(a.Out, strings.TrimRight(cleanLines(p.Program), "\n"))
	return nil
}

func newPipelineRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm PIPELINE…", Aliases: []string{"remove", "delete"}, Short: "Delete pipelines; their runs go on and stay",
		Example: "  ci pipeline rm old-release", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.pipelines()
			if err != nil {
				return err
			}
			for _, name := range args {
				if _, err := r.document(cmd.Context(), http.MethodDelete, at("pipelines", name), nil); err != nil {
					return err
				}
				a.note("%s deleted", clean(name))
			}
			return nil
		},
	}
}
