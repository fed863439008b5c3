package cli

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

// Completion offers what the server has, live. Shells call it while somebody
// types, so it gives up soon and says nothing.
const completionLimit = time.Second

// maxCompletions is how many things are offered.
const maxCompletions = 200

type completer = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// completeEach lets every verb below cmd complete its arguments and flags, by
// the words of its use: JOB, RUN, AGENT and so on.
func (a *app) completeEach(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && len(cmd.Commands()) == 0 {
		if words := strings.Fields(cmd.Use); len(words) > 1 {
			cmd.ValidArgsFunction = a.completeWords(words[1:])
		}
	}
	for name, values := range a.flagValues() {
		if cmd.LocalNonPersistentFlags().Lookup(name) != nil || cmd == cmd.Root() && cmd.PersistentFlags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, values) // fails only when it is there already
		}
	}
	for _, c := range cmd.Commands() {
		a.completeEach(c)
	}
}

// flagValues are the flags whose values are known.
func (a *app) flagValues() map[string]completer {
	outcomes := []string{string(ci.StatusInProgress), string(ci.StatusDone)}
	for _, o := range ci.Outcomes {
		outcomes = append(outcomes, string(o))
	}
	return map[string]completer{
		"job": a.completeList(a.jobNames), "triggers": a.completeList(a.jobNames), "context": a.completeList(a.contextNames), "ssh-key": a.completeList(a.sshKeyNames),
		"parent": a.completeRun, "status": fixed(outcomes...), "priority": fixed(string(ci.PriorityNormal), string(ci.PriorityUrgent)),
		"role": fixed("admin", "maintain", "trigger", "read", "agent"), "json": a.completeFields,
	}
}

func fixed(values ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFields completes the last of several fields of --json.
func (a *app) completeFields(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	done := typed[:strings.LastIndexByte(typed, ',')+1]
	var all []string
	for _, name := range fieldsOf(cmd) {
		all = append(all, done+name)
	}
	return all, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeWords completes the arguments that a verb's use names.
func (a *app) completeWords(words []string) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		i := len(args)
		if i >= len(words) {
			if last := words[len(words)-1]; !strings.HasSuffix(strings.Trim(last, "[]"), "…") {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			i = len(words) - 1
		}
		switch strings.Trim(words[i], "[]…") {
		case "JOB":
			return a.completeList(a.jobNames)(cmd, args, typed)
		case "RUN":
			return a.completeRun(cmd, args, typed)
		case "AGENT":
			return a.completeList(a.agentNames)(cmd, args, typed)
		case "CONTEXT":
			return a.completeList(a.contextNames)(cmd, args, typed)
		case "KEY":
			return a.completeKey(cmd, args, typed)
		case "FILE", "DIR", "BODY":
			return nil, cobra.ShellCompDirectiveDefault
		case "METHOD":
			return []string{"GET", "POST", "PUT", "DELETE", "HEAD"}, cobra.ShellCompDirectiveNoFileComp
		}
		return a.completeName(cmd, args, typed)
	}
}

// completeKey completes what two families call a key.
func (a *app) completeKey(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if strings.Contains(cmd.CommandPath(), " config ") {
		return settingNames(), cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeList(a.sshKeyNames)(cmd, args, typed)
}

// completeName completes a name by the family that its verb belongs to.
func (a *app) completeName(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	path := cmd.CommandPath()
	switch {
	case strings.Contains(path, " ssh-key "):
		return a.completeList(a.sshKeyNames)(cmd, args, typed)
	case strings.Contains(path, " secret ") && len(args) == 1:
		return a.completeList(func(ctx context.Context, c Client) iter.Seq2[string, error] { return secretNames(ctx, c, args[0]) })(cmd, args, typed)
	case strings.Contains(path, " registry "):
		return a.completeList(registryNames)(cmd, args, typed)
	case strings.HasSuffix(path, " token revoke"):
		return a.completeList(tokenNames)(cmd, args, typed)
	case (strings.Contains(path, " result ") || strings.HasSuffix(path, " tests")) && len(args) == 1:
		return a.completeList(func(ctx context.Context, c Client) iter.Seq2[string, error] { return a.resultNames(ctx, c, args) })(cmd, args, typed)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completeRun offers jobs with @latest first, and the runs of a job once one is named.
func (a *app) completeRun(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if i := strings.IndexAny(typed, "@/#"); i >= 0 {
		return a.completeList(func(ctx context.Context, c Client) iter.Seq2[string, error] {
			return selectors(ctx, c, typed[:i], typed[i:i+1])
		})(cmd, args, typed)
	}
	names, _ := a.completeList(a.jobNames)(cmd, args, typed)
	for i := range names {
		names[i] += latest
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// selectors are the ways to name a run of a job that begin with a sign: its ids, or its branches.
func selectors(ctx context.Context, c Client, job, sign string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if c == nil {
			return
		}
		if sign == "@" && !yield(job+latest, nil) {
			return
		}
		seen, n := map[string]bool{}, 0
		for r, err := range c.ListRuns(ctx, ci.RunFilter{Job: job}) {
			text := fmt.Sprintf("%s%s%d", job, sign, r.ID)
			if sign == "@" {
				text = job + "@" + r.BranchName
			}
			if n++; err != nil || n > maxCompletions {
				return
			}
			if !seen[text] && (sign != "@" || r.BranchName != "") && !yield(text, nil) {
				return
			}
			seen[text] = true
		}
	}
}

// completeList offers names of the server that begin with what was typed.
func (a *app) completeList(names func(context.Context, Client) iter.Seq2[string, error]) completer {
	return func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		c, err := a.open(-1)
		if err != nil {
			c = nil // contexts need no server
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionLimit)
		defer cancel()
		var all []string
		for name, err := range names(ctx, c) {
			if err != nil || len(all) == maxCompletions {
				break
			}
			if strings.HasPrefix(name, typed) && clean(name) == name && !strings.ContainsAny(name, " '\"$`\\") {
				all = append(all, name)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// named goes through the names of a list's items. Without a client there is nothing.
func named[T any](c Client, items func() iter.Seq2[T, error], name func(T) string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if c == nil {
			return
		}
		for item, err := range items() {
			if !yield(name(item), err) {
				return
			}
		}
	}
}

// sliced is a list as a sequence.
func sliced[T any](items []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		if err != nil {
			yield(none, err)
			return
		}
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}

func (a *app) jobNames(ctx context.Context, c Client) iter.Seq2[string, error] {
	return named(c, func() iter.Seq2[ci.Job, error] { return c.ListJobs(ctx) }, func(j ci.Job) string { return j.Name })
}

func (a *app) agentNames(ctx context.Context, c Client) iter.Seq2[string, error] {
	return named(c, func() iter.Seq2[ci.Agent, error] { return sliced(c.ListAgents(ctx)) }, func(g ci.Agent) string { return g.ID })
}

func (a *app) sshKeyNames(ctx context.Context, c Client) iter.Seq2[string, error] {
	return named(c, func() iter.Seq2[ci.SSHKey, error] { return sliced(c.ListSSHKeys(ctx)) }, func(k ci.SSHKey) string { return k.Name })
}

func registryNames(ctx context.Context, c Client) iter.Seq2[string, error] {
	return named(c, func() iter.Seq2[ci.Registry, error] { return sliced(c.ListRegistries(ctx)) }, func(r ci.Registry) string { return r.Host })
}

func secretNames(ctx context.Context, c Client, job string) iter.Seq2[string, error] {
	return named(c, func() iter.Seq2[ci.Secret, error] { return sliced(c.ListSecrets(ctx, job)) }, func(s ci.Secret) string { return s.Name })
}

// tokenNames are those of tokens that can be revoked.
func tokenNames(ctx context.Context, c Client) iter.Seq2[string, error] {
	return named(c, func() iter.Seq2[ci.Token, error] { return c.ListTokens(ctx) }, func(t ci.Token) string {
		if !t.RevokedAt.IsZero() {
			return ""
		}
		return t.Name
	})
}

func (a *app) resultNames(ctx context.Context, c Client, args []string) iter.Seq2[string, error] {
	return named(c, func() iter.Seq2[ci.Result, error] {
		t, _, err := parseRef(args)
		if err != nil {
			return sliced[ci.Result](nil, err)
		}
		ref, err := a.find(ctx, c, t)
		if err != nil {
			return sliced[ci.Result](nil, err)
		}
		return sliced(c.Results(ctx, ref.Job, ref.Run))
	}, func(r ci.Result) string { return r.Name })
}

func (a *app) contextNames(context.Context, Client) iter.Seq2[string, error] {
	stored, err := a.loadContexts()
	if err != nil {
		return sliced[string](nil, err)
	}
	return sliced(stored.names(), nil)
}
