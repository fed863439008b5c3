package junit

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// parser walks one file's elements.
type parser struct {
	report *Report
	dec    *xml.Decoder
	depth  int
}

// file reads the root element, and wants nothing but comments after it.
func (p *parser) file() error {
	root, err := p.next()
	if err != nil {
		return err
	}
	switch root.Name.Local {
	case "testsuites":
		err = p.suite(nil)
	case "testsuite":
		err = p.suite([]string{attribute(root, "name")})
	default:
		return fmt.Errorf("found the root element <%.40s>; expected testsuites or testsuite", root.Name.Local)
	}
	if err != nil {
		return err
	}
	extra, err := p.next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("found a second root element, <%.40s>", extra.Name.Local)
	}
	return err
}

// next returns the next element that begins, nil where the present one ends.
func (p *parser) next() (*xml.StartElement, error) {
	for {
		token, err := p.dec.Token()
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if p.depth++; p.depth > MaxDepth {
				return nil, fmt.Errorf("elements are nested more than %d deep", MaxDepth)
			}
			return &t, nil
		case xml.EndElement:
			p.depth--
			return nil, nil
		}
	}
}

// suite reads the inside of a testsuite, or of testsuites when names is empty.
func (p *parser) suite(names []string) error {
	for {
		e, err := p.next()
		if e == nil || err != nil {
			return err
		}
		switch e.Name.Local {
		case "testsuite":
			err = p.suite(append(names[:len(names):len(names)], attribute(e, "name")))
		case "testcase":
			err = p.testcase(e, names)
		default:
			err = p.skip()
		}
		if err != nil {
			return err
		}
	}
}

// skip reads to the end of the present element.
func (p *parser) skip() error {
	for depth := p.depth; p.depth >= depth; {
		if _, err := p.next(); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) testcase(e *xml.StartElement, suites []string) error {
	if len(p.report.Cases) >= MaxCases {
		return errTooMany
	}
	c := Case{
		Suites: suites, Name: attribute(e, "name"), Class: attribute(e, "classname"), File: attribute(e, "file"),
		Status: Passed, Duration: seconds(attribute(e, "time")),
	}
	c.Line, _ = strconv.Atoi(attribute(e, "line"))
	switch strings.ToLower(attribute(e, "status")) {
	case "disabled", "notrun", "skipped": // gtest says it here alone
		c.Status = Skipped
	}
	for {
		e, err := p.next()
		if err != nil {
			return err
		}
		if e == nil {
			p.report.Cases = append(p.report.Cases, c)
			return nil
		}
		if err := p.verdict(&c, e); err != nil {
			return err
		}
	}
}

// rank orders what a case may say of itself at the same time: the worst counts.
var rank = map[Status]int{Passed: 0, Skipped: 1, Failed: 2, Errored: 3}

// verdict reads one element of a case.
func (p *parser) verdict(c *Case, e *xml.StartElement) error {
	var status Status
	switch e.Name.Local {
	case "failure":
		status = Failed
	case "error":
		status = Errored
	case "skipped":
		status = Skipped
	case "flakyFailure", "flakyError":
		c.Flaky = true
		return p.skip()
	default:
		return p.skip()
	}
	details, err := p.content()
	if err != nil {
		return err
	}
	if rank[status] > rank[c.Status] || (status == c.Status && c.Message == "" && c.Details == "") {
		c.Status, c.Details = status, details
		c.Message = cut(attribute(e, "message"), MaxMessage)
	}
	return nil
}

// content returns the text of the present element, without the elements in it.
func (p *parser) content() (string, error) {
	var b strings.Builder
	for {
		token, err := p.dec.Token()
		if err != nil {
			return "", err
		}
		switch t := token.(type) {
		case xml.CharData:
			if b.Len() <= MaxDetails {
				b.Write(t)
			}
		case xml.StartElement:
			p.depth++
			if err := p.skip(); err != nil {
				return "", err
			}
		case xml.EndElement:
			p.depth--
			return cut(strings.TrimSpace(b.String()), MaxDetails), nil
		}
	}
}

func attribute(e *xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// cut shortens s to at most limit bytes, between characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// seconds reads "0.25" and "1,234.5". What is no time is none.
func seconds(s string) time.Duration {
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
	if err != nil || !(f > 0) || f > 1e9 {
		return 0
	}
	return time.Duration(f * float64(time.Second))
}
