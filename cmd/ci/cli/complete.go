package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completeJob offers the server's jobs for a first argument. Shells call it
// while somebody types, so it gives up soon and says nothing.
func (a *app) completeJob(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := a.open(-1)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	var names []string
	for j, err := range c.ListJobs(ctx) {
		if err != nil {
			break
		}
		if strings.HasPrefix(j.Name, typed) && clean(j.Name) == j.Name {
			names = append(names, j.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeJobs lets every verb below cmd whose first argument is a job complete it.
func (a *app) completeJobs(cmd *cobra.Command) {
	words := strings.Fields(cmd.Use)
	if len(words) > 1 && strings.HasPrefix(strings.TrimLeft(words[1], "["), "JOB") {
		cmd.ValidArgsFunction = a.completeJob
	}
	for _, c := range cmd.Commands() {
		a.completeJobs(c)
	}
}
