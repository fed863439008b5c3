package cli

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"
)

func newOpen(a *app) *cobra.Command {
	var printOnly bool
	cmd := &cobra.Command{
		Use:   "open [RUN]",
		Short: "Open the page of a run in a browser",
		Long: "Open the page of a run in a browser, or without RUN the first page of the server. In a pipe, with --print, and where no " +
			"browser is known (BROWSER, or a graphical session), only its address is printed.",
		Example: "  ci open unit-test@latest\n  ci open --commit HEAD --print\n  ci open",
		RunE: func(cmd *cobra.Command, args []string) error {
			page, err := a.page(cmd.Context(), args)
			if err != nil {
				return err
			}
			if a.wantsJSON() {
				return a.printItem(cmd.Context(), map[string]string{"url": page})
			}
			fmt.Fprintln(a.Out, page)
			if printOnly || !a.OutTTY {
				return nil
			}
			return a.browse(cmd.Context(), page)
		},
	}
	named := a.takesRun(cmd, 0).Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return named(cmd, args)
	}
	cmd.Flags().BoolVar(&printOnly, "print", false, "print the address, and open nothing")
	return document(cmd, "", []string{"url"})
}

// pages is where a server has its pages.
const pages = "/ui/"

// page is the address of what args name.
func (a *app) page(ctx context.Context, args []string) (string, error) {
	e, err := a.endpoint()
	if err != nil {
		return "", err
	}
	if len(args) == 0 && a.commit == "" {
		return e.URL + pages, nil
	}
	c, ref, _, err := a.openRun(ctx, args)
	if err != nil {
		return "", err
	}
	if _, err := c.GetRun(ctx, ref.Job, ref.Run); err != nil { // who finds no page should know why
		return "", err
	}
	return fmt.Sprintf("%s%sjobs/%s/runs/%d", e.URL, pages, url.PathEscape(ref.Job), ref.Run), nil
}

// browse opens a page. Where no browser is known it does nothing: the address was printed.
func (a *app) browse(ctx context.Context, page string) error {
	var cmd *exec.Cmd
	switch browser := a.Env("BROWSER"); {
	case browser != "": // it may have arguments, so a shell reads it
		cmd = exec.CommandContext(ctx, "sh", "-c", browser+` "$1"`, "sh", page)
	case runtime.GOOS == "darwin":
		cmd = exec.CommandContext(ctx, "open", page)
	case a.Env("DISPLAY") != "" || a.Env("WAYLAND_DISPLAY") != "":
		cmd = exec.CommandContext(ctx, "xdg-open", page)
	default:
		return nil
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.In, a.Out, a.Err
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the browser did not open the page (set BROWSER to another one, or use --print): %w", err)
	}
	return nil
}
