package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

// The exit codes. Others' scripts rely on them.
const (
	exitSucceeded   = 0
	exitFailed      = 1
	exitUsage       = 2
	exitAborted     = 3
	exitTimedOut    = 4
	exitOther       = 5
	exitNotFound    = 6
	exitUnreachable = 7
	exitChanged     = 8
	exitDetached    = 130
)

const exitCodesHelp = `Exit codes of ci, of every verb:

  0    it worked; with --wait and watch: the run succeeded
  1    the run failed; for job check: the job file is not valid
  2    usage: a wrong verb, flag or argument, or a request that the server calls invalid
  3    the run was aborted
  4    the run timed out
  5    the run ended as error or lost; or any other error
  6    not found, or not allowed
  7    the server can't be reached, or can't answer at the moment
  8    apply --detailed-exitcode: something was changed, or with --dry-run would be
  130  an interrupt ended the waiting; the run goes on`

func newExitCodes(*app) *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodesHelp}
}

// exitError is an error with an exit code of its own. Without err the code
// says it all.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usagef is an error of what the user typed, found by the verb itself.
func usagef(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// exitCode is the code that err ends the program with.
func exitCode(err error) int {
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	switch ci.CodeOf(err) {
	case "":
		return exitSucceeded
	case ci.CodeInvalid, ci.CodeTooLarge:
		return exitUsage
	case ci.CodeNotFound, ci.CodeExpired, ci.CodeForbidden, ci.CodeUnauthorized:
		return exitNotFound
	case ci.CodeUnavailable, ci.CodeTooMany:
		return exitUnreachable
	}
	return exitOther
}

// exitOf is nil for a run that succeeded, and else the error whose code says how it ended.
func exitOf(r *ci.Run) error {
	switch r.Outcome {
	case ci.OutcomeSucceeded:
		return nil
	case ci.OutcomeFailed:
		return &exitError{code: exitFailed}
	case ci.OutcomeAborted:
		return &exitError{code: exitAborted}
	case ci.OutcomeTimedOut:
		return &exitError{code: exitTimedOut}
	}
	return &exitError{code: exitOther}
}

// report prints an error for people: its sentence, and a line for each field.
func (a *app) report(err error) {
	var e *ci.Error
	if !errors.As(err, &e) {
		fmt.Fprintf(a.Err, "%s %s\n", a.errStyle(red, "ci:"), cleanLines(err.Error()))
		return
	}
	// What wraps the error is kept, its fields get lines of their own.
	sentence := strings.TrimSuffix(strings.Replace(err.Error(), e.Error(), e.Message, 1), ".")
	fmt.Fprintf(a.Err, "%s %s\n", a.errStyle(red, "ci:"), clean(sentence))
	for _, f := range e.Fields {
		fmt.Fprintf(a.Err, "  %s: %s\n", clean(f.Path), clean(f.Message))
	}
	if e.Code == ci.CodeUnauthorized {
		fmt.Fprintln(a.Err, "  Log in with `ci login URL`, or set CI_TOKEN.")
	}
}
