package junit

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"ci/pkg/ci"
)

// Parse reads one XML file. name is what errors call it.
//
// The error is a *ci.Error with CodeInvalid, or CodeTooLarge when a limit is
// exceeded; its field's Path is "name:line:column".
func Parse(name string, r io.Reader) (*Report, error) {
	var report Report
	if err := parse(&report, name, r); err != nil {
		return nil, err
	}
	return &report, nil
}

// parse adds one file to a report.
func parse(report *Report, name string, r io.Reader) error {
	limited := &io.LimitedReader{R: r, N: MaxBytes + 1}
	p := &parser{report: report, dec: xml.NewDecoder(bufio.NewReader(limited))}
	p.dec.CharsetReader = charset
	err := p.file()
	if err == nil {
		return nil
	}
	code := ci.CodeInvalid
	switch {
	case limited.N <= 0:
		err, code = fmt.Errorf("the file has more than %d bytes", MaxBytes), ci.CodeTooLarge
	case errors.Is(err, errTooMany):
		code = ci.CodeTooLarge
	}
	line, column := p.dec.InputPos()
	return &ci.Error{Code: code, Message: name + " is not a JUnit report", Cause: err, Fields: []ci.Field{{
		Path: fmt.Sprintf("%s:%d:%d", name, line, column), Message: sentence(err),
	}}}
}

// sentence drops the line that encoding/xml puts into its messages: the
// field's path says it.
func sentence(err error) string {
	var syntax *xml.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return "is not XML: " + syntax.Msg
	case errors.Is(err, io.EOF):
		return "is not XML: there is no element in it"
	}
	return err.Error()
}

var errTooMany = fmt.Errorf("there are more than %d test cases", MaxCases)

// charset reads the one other encoding that is seen in reports.
func charset(label string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "us-ascii", "ascii":
		return in, nil
	case "iso-8859-1", "latin1", "windows-1252":
		return &latin1{in: bufio.NewReader(in)}, nil
	}
	return nil, fmt.Errorf("the encoding %.40q is not known here; expected UTF-8", label)
}

// latin1 turns ISO 8859-1 into UTF-8.
type latin1 struct {
	in   io.ByteReader
	rest []byte
}

// Read fills b as far as input comes.
func (l *latin1) Read(b []byte) (int, error) {
	for n := 0; ; {
		m := copy(b[n:], l.rest)
		n, l.rest = n+m, l.rest[m:]
		if n == len(b) {
			return n, nil
		}
		c, err := l.in.ReadByte()
		if err != nil {
			return n, err
		}
		l.rest = append(l.rest[:0], string(rune(c))...)
	}
}
