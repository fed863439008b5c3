package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
)

type logsOptions struct {
	*app
	follow bool
	ndjson bool
	stamps bool
	offset int64
}

func newLogs(a *app) *cobra.Command {
	o := &logsOptions{app: a}
	cmd := &cobra.Command{
		Use:     "logs RUN",
		Aliases: []string{"log", "console"},
		Short:   "Print what a run printed",
		Long: "Print what a run printed, or with -f prints. A pipe gets the bytes as they are. On a terminal text and colours pass, " +
			"and everything else that a terminal would obey is shown as text, such as ^[[2J.\n\n" +
			"With --timestamps each line begins with the time at which it was stored, about a second after it was printed: as a clock shows it on a terminal, " +
			"in UTC and with a tab behind it in a pipe.\n\n" +
			"With --ndjson each line of output is an object: offset, its first byte's place in the output, and text; with --timestamps also at.\n\n" +
			"The exit code says whether the output could be had, not how the run ended; `ci watch --logs` does both.",
		Example: "  ci logs unit-test@latest\n  ci logs -f unit-test@main\n  ci logs --timestamps unit-test@latest\n  ci logs unit-test@latest --ndjson",
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	a.takesRun(cmd, 0)
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on until the run is done")
	cmd.Flags().BoolVarP(&o.stamps, "timestamps", "t", false, "begin each line with its time")
	cmd.Flags().BoolVar(&o.ndjson, "ndjson", false, "print each line as JSON")
	cmd.Flags().Int64Var(&o.offset, "offset", 0, "begin at this byte")
	return cmd
}

func (o *logsOptions) run(ctx context.Context, args []string) error {
	switch {
	case o.json.set && !o.ndjson:
		return usagef("a console is not JSON; `ci show --json` prints what is known of the run, and --ndjson each line of output")
	case !o.ndjson && o.wantsJSON():
		return usagef("--jq and --template go with --ndjson here")
	case o.offset < 0:
		return usagef("--offset %d is negative", o.offset)
	}
	c, ref, _, err := o.openRun(ctx, args)
	if err != nil {
		return err
	}
	if o.follow {
		if c, err = o.patientClient(); err != nil {
			return err
		}
	}
	if o.ndjson || o.stamps {
		err = o.byLine(ctx, c, ref)
	} else {
		err = o.copyConsole(ctx, c, ref, o.offset, o.follow)
	}
	if ctx.Err() != nil {
		return &exitError{code: exitDetached}
	}
	return err
}

// byLine prints the console line by line.
func (o *logsOptions) byLine(ctx context.Context, c Client, ref ci.RunRef) (err error) {
	times := lineTimes{client: c, ref: ref}
	out, end := o.consoleOut()
	defer func() { err = errors.Join(err, end()) }()
	return o.eachLine(ctx, c, ref, func(l consoleLine, piece []byte) error {
		if o.stamps {
			at, err := times.of(ctx, l.Offset)
			if err != nil {
				return err
			}
			l.At = at
		}
		if o.ndjson {
			l.Text = strings.ToValidUTF8(string(bytes.TrimSuffix(piece, []byte("\n"))), "\ufffd")
			return o.printItem(ctx, l)
		}
		if !l.middle {
			piece = append([]byte(o.stamp(l.At)), piece...)
		}
		_, err := out.Write(piece)
		return err
	})
}

// stamp is what a line begins with.
func (o *logsOptions) stamp(at *time.Time) string {
	switch {
	case at == nil && o.OutTTY:
		return "         "
	case at == nil:
		return "\t"
	case o.OutTTY:
		return at.In(o.Now().Location()).Format("15:04:05 ")
	}
	return at.UTC().Format(time.RFC3339) + "\t"
}

// consoleLine is a line of output as --ndjson prints it.
type consoleLine struct {
	// Offset is the place of the line's first byte in the output.
	Offset int64 `json:"offset"`
	// At is when it was stored; nil when that was not asked for, or is not known.
	At *time.Time `json:"at,omitempty"`
	// Text is the line without its end. Bytes that are not UTF-8 are replaced.
	Text string `json:"text"`
	// Continues says that the line was too long, and goes on in the next object.
	Continues bool `json:"continues,omitempty"`
	// middle says that it goes on with the line before it.
	middle bool
}

// maxLine is the longest text of one object.
const maxLine = 64 << 10

// eachLine reads the console and calls fn with each line, its text left out, and its bytes as they are.
func (o *logsOptions) eachLine(ctx context.Context, c Client, ref ci.RunRef, fn func(consoleLine, []byte) error) error {
	body, err := c.Console(ctx, ref.Job, ref.Run, o.offset, o.follow)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read from
	line := consoleLine{Offset: o.offset}
	for in := bufio.NewReaderSize(body, maxLine); ; {
		piece, err := in.ReadSlice('\n')
		if len(piece) > 0 {
			line.middle, line.Continues = line.Continues, errors.Is(err, bufio.ErrBufferFull)
			if err := fn(line, piece); err != nil {
				return err
			}
			line.Offset += int64(len(piece))
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// lineTimes knows when the lines of a console were stored. Lines are asked for in their order.
type lineTimes struct {
	client Client
	ref    ci.RunRef
	known  ci.ConsoleTimes
}

// of is when the byte at offset was stored; nil when the server does not know.
func (l *lineTimes) of(ctx context.Context, offset int64) (*time.Time, error) {
	if offset >= l.known.End() {
		times, err := l.client.ConsoleTimes(ctx, l.ref.Job, l.ref.Run, offset)
		if err != nil {
			return nil, err
		}
		l.known = times
	}
	at, ok := l.known.Of(offset)
	if !ok || at.IsZero() {
		return nil, nil
	}
	return &at, nil
}
