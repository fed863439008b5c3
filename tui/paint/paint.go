// Package paint puts finished frames on a terminal: at once, and only the lines
// that differ from what is there. It also has the terminal's modes, since who
// draws must know when the screen is another's.
//
// bubbletea's own renderer shows what is there 120 times a second at most, so that a key
// waits for its turn. This one leaves the choice of the moment to its caller.
package paint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"ci/tui/widget"
)

// Terminal is a terminal that is drawn on. It is for one goroutine, but what
// goes to Out may come from others too.
type Terminal struct {
	in, out *os.File
	w       io.Writer   // to out
	was     *term.State // of the keyboard
	ours    bool

	lines []string // what the screen shows; nil when that is not known
	width int
	buf   bytes.Buffer
}

// New takes a terminal whose keys come from in. All that is drawn is written
// to w, a frame for each call.
func New(in, out *os.File, w io.Writer) *Terminal { return &Terminal{in: in, out: out, w: w} }

// Modes of a full screen (xterm's control sequences): the alternate screen, no
// cursor, no wrapping at the right edge, so that a line that is wider than we believed
// costs no other, pasted text in brackets, and the mouse.
const (
	enter = ansi.SetModeAltScreenSaveCursor + ansi.EraseEntireScreen + ansi.ResetModeTextCursorEnable + ansi.ResetModeAutoWrap +
		ansi.SetModeBracketedPaste + ansi.SetModeMouseButtonEvent + ansi.SetModeMouseExtSgr
	leave = ansi.ResetStyle + ansi.ResetModeMouseExtSgr + ansi.ResetModeMouseButtonEvent + ansi.ResetModeBracketedPaste +
		ansi.SetModeAutoWrap + ansi.SetModeTextCursorEnable + ansi.ResetModeAltScreenSaveCursor
)

// Enter takes the whole screen and every key.
func (t *Terminal) Enter() error {
	if fd := int(t.in.Fd()); term.IsTerminal(fd) {
		was, err := term.MakeRaw(fd)
		if err != nil {
			return fmt.Errorf("the terminal does not hand over its keys: %w", err)
		}
		t.was = was
	}
	t.ours = true
	t.Forget()
	_, err := io.WriteString(t.w, enter)
	return err
}

// Leave gives the terminal back as it was. It is safe to call twice.
func (t *Terminal) Leave() error {
	if !t.ours {
		return nil
	}
	t.ours = false
	_, err := io.WriteString(t.w, leave)
	if t.was != nil {
		err = errors.Join(err, term.Restore(int(t.in.Fd()), t.was))
	}
	return err
}

// Lend runs a program on the terminal, and takes it back.
func (t *Terminal) Lend(cmd *exec.Cmd) error {
	if err := t.Leave(); err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.in, t.out, t.out
	return errors.Join(cmd.Run(), t.Enter())
}

// Size is how many cells the terminal has.
func (t *Terminal) Size() (w, h int, err error) { return term.GetSize(int(t.out.Fd())) }

// Forget has the next frame drawn as a whole.
func (t *Terminal) Forget() { t.lines = nil }

// Draw shows a frame of lines that are w cells wide at most, each with its own colours.
// It ends when the terminal has taken what is new.
func (t *Terminal) Draw(frame string, w int) error {
	lines := strings.Split(frame, "\n")
	t.buf.Reset()
	if t.lines == nil || t.width != w || len(t.lines) != len(lines) {
		t.buf.WriteString(ansi.ResetStyle + ansi.EraseEntireScreen)
		t.lines = make([]string, len(lines))
	}
	for i, l := range lines {
		if l == t.lines[i] {
			continue
		}
		t.buf.WriteString(ansi.CursorPosition(1, i+1))
		t.buf.WriteString(ansi.ResetStyle)
		t.buf.WriteString(l)
		if widget.Width(l) < w {
			t.buf.WriteString(ansi.ResetStyle + ansi.EraseLineRight)
		}
	}
	t.lines, t.width = lines, w
	if t.buf.Len() == 0 {
		return nil
	}
	if _, err := t.w.Write(t.buf.Bytes()); err != nil {
		t.Forget()
		return err
	}
	return nil
}
