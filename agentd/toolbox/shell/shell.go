// Package shell is the shell for images that have none: mvdan.cc/sh, with the
// commonest commands built in. It knows Bash's language too, not POSIX's alone.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mvdan.cc/sh/moreinterp/coreutils"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Main runs `sh [-eux…] FILE [ARG…]` or `sh [-eux…] -c TEXT [NAME [ARG…]]` and
// returns its exit status.
func Main(args []string) int {
	options, rest := split(args)
	name, text, params, err := source(&options, rest)
	if err != nil {
		fmt.Fprintf(os.Stderr, "sh: %v\n", err)
		return 2
	}
	program, err := syntax.NewParser().Parse(strings.NewReader(text), name)
	if err != nil {
		fmt.Fprintf(os.Stderr, "sh: %v\n", err)
		return 2
	}
	runner, err := interp.New(
		interp.StdIO(os.Stdin, os.Stdout, os.Stderr),
		interp.Params(append(append(options, "--"), params...)...),
		interp.ExecHandlers(builtin),
	)
	if err != nil {
		fmt.Fprintf(os.Stderr, "sh: %v\n", err)
		return 2
	}
	return status(runner.Run(context.Background(), program))
}

func status(err error) int {
	var code interp.ExitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(os.Stderr, "sh: %v\n", err)
	return 1
}

// split cuts the leading options off.
func split(args []string) (options, rest []string) {
	for i, a := range args {
		if a == "--" {
			return options, args[i+1:]
		}
		if !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "+") || a == "-" {
			return options, args[i:]
		}
		options = append(options, a)
	}
	return options, nil
}

// source finds the program text. -c is taken out of options.
func source(options *[]string, rest []string) (name, text string, params []string, err error) {
	command := false
	kept := (*options)[:0]
	for _, o := range *options {
		if strings.HasPrefix(o, "-") && strings.Contains(o, "c") {
			command = true
			o = strings.Replace(o, "c", "", 1)
		}
		if o != "-" {
			kept = append(kept, o)
		}
	}
	*options = kept
	if len(rest) == 0 {
		return "", "", nil, errors.New("give a file, or -c and a text")
	}
	if command {
		return "sh", rest[0], rest[min(2, len(rest)):], nil
	}
	b, err := os.ReadFile(rest[0])
	return rest[0], string(b), rest[1:], err
}

// builtin prefers the image's own programs and stands in for those it lacks.
func builtin(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	ours := coreutils.ExecHandler(next)
	return func(ctx context.Context, args []string) error {
		h := interp.HandlerCtx(ctx)
		if _, err := interp.LookPathDir(h.Dir, h.Env, args[0]); err == nil {
			return next(ctx, args)
		}
		if args[0] == "sleep" {
			return sleep(ctx, h.Stderr, args[1:])
		}
		return ours(ctx, args)
	}
}

// sleep takes seconds, with a fraction or a unit of Go's durations.
func sleep(ctx context.Context, stderr io.Writer, args []string) error {
	var sum time.Duration
	for _, a := range args {
		d, err := time.ParseDuration(a)
		if err != nil {
			d, err = time.ParseDuration(a + "s")
		}
		if err != nil || d < 0 {
			fmt.Fprintf(stderr, "sleep: %q is no time; say seconds, or 1m30s\n", a)
			return interp.ExitStatus(1)
		}
		sum += d
	}
	select {
	case <-time.After(sum):
	case <-ctx.Done():
	}
	return nil
}
