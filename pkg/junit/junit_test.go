package junit

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

const nested = `<?xml version="1.0"?>
<testsuites>
  <properties><property name="a" value="b"/></properties>
  <testsuite name="outer" tests="99">
    <testsuite name="inner">
      <testcase classname="C" name="passes" file="a_test.go" line="7" time="0.25"><system-out>noise</system-out></testcase>
      <testcase name="fails" time="1,000.5"><skipped/><failure message="no" type="T">at <b>x</b> line 3</failure></testcase>
    </testsuite>
    <testcase name="breaks"><error message="boom"/><failure message="later"/></testcase>
    <testcase name="skips"><skipped message="later"/></testcase>
    <testcase name="off" status="disabled" time="NaN"/>
    <testcase name="flaky"><flakyFailure message="once"/></testcase>
  </testsuite>
  <testcase name="loose"/>
</testsuites><!-- end -->`

func TestParse(t *testing.T) {
	t.Parallel()
	r, err := Parse("x.xml", strings.NewReader(nested))
	require.NoError(t, err)
	require.Equal(t, []Case{
		{Suites: []string{"outer", "inner"}, Class: "C", Name: "passes", File: "a_test.go", Line: 7, Status: Passed, Duration: 250 * time.Millisecond},
		{Suites: []string{"outer", "inner"}, Name: "fails", Status: Failed, Duration: 1000500 * time.Millisecond, Message: "no", Details: "at  line 3"},
		{Suites: []string{"outer"}, Name: "breaks", Status: Errored, Message: "boom"},
		{Suites: []string{"outer"}, Name: "skips", Status: Skipped, Message: "later"},
		{Suites: []string{"outer"}, Name: "off", Status: Skipped},
		{Suites: []string{"outer"}, Name: "flaky", Status: Passed, Flaky: true},
		{Name: "loose", Status: Passed},
	}, r.Cases)
	require.Equal(t, Summary{Passed: 3, Failed: 1, Errored: 1, Skipped: 2, Flaky: 1, Duration: 1000750 * time.Millisecond}, r.Summary())
	require.Equal(t, 7, r.Summary().Total())
	require.Len(t, r.Unsuccessful(), 2)
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		in   string
		code ci.Code
		want string
	}{
		"empty":     {"", ci.CodeInvalid, "x.xml:1:1 is not XML: there is no element in it"},
		"no xml":    {"hello", ci.CodeInvalid, "x.xml:1:6 is not XML"},
		"cut":       {"<testsuite>\n<testcase>", ci.CodeInvalid, "x.xml:2:11 is not XML: unexpected EOF"},
		"other":     {"<html></html>", ci.CodeInvalid, "x.xml:1:7 found the root element <html>; expected testsuites or testsuite"},
		"two roots": {"<testsuite/><testsuite/>", ci.CodeInvalid, "found a second root element"},
		"mismatch":  {"<testsuite></testcase>", ci.CodeInvalid, "is not XML: element <testsuite> closed by </testcase>"},
		"deep":      {strings.Repeat("<testsuite>", 1000), ci.CodeInvalid, "nested more than 64 deep"},
		"deep text": {"<testsuite><testcase><failure>" + strings.Repeat("<a>", 1000), ci.CodeInvalid, "nested more than 64 deep"},
		"entities":  {`<!DOCTYPE x [<!ENTITY a "aaaa">]><testsuite name="&a;"/>`, ci.CodeInvalid, "invalid character entity &a;"},
		"encoding":  {`<?xml version="1.0" encoding="EBCDIC"?><testsuite/>`, ci.CodeInvalid, `the encoding "EBCDIC" is not known here`},
		"many":      {"<testsuite>" + strings.Repeat("<testcase/>", MaxCases+1) + "</testsuite>", ci.CodeTooLarge, "more than 100000 test cases"},
		"large":     {"<testsuite>" + strings.Repeat(" ", MaxBytes), ci.CodeTooLarge, "more than 33554432 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("x.xml", strings.NewReader(tt.in))
			var e *ci.Error
			require.True(t, errors.As(err, &e), "%v", err)
			require.Equal(t, tt.code, e.Code)
			require.Len(t, e.Fields, 1)
			require.Contains(t, e.Fields[0].Path+" "+e.Fields[0].Message, tt.want)
		})
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", MaxDetails)
	r, err := Parse("x", strings.NewReader(`<testsuite><testcase><failure message="`+long+`">`+long+`</failure></testcase></testsuite>`))
	require.NoError(t, err)
	require.Len(t, r.Cases[0].Message, MaxMessage)
	require.Len(t, r.Cases[0].Details, MaxDetails)
}

func TestLatin1(t *testing.T) {
	t.Parallel()
	r, err := Parse("x", strings.NewReader("<?xml version='1.0' encoding='ISO-8859-1'?><testsuite><testcase name='\xfc'/></testsuite>"))
	require.NoError(t, err)
	require.Equal(t, "ü", r.Cases[0].Name)
}

func TestParseZip(t *testing.T) {
	t.Parallel()
	pack := func(files ...string) *bytes.Reader {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for i := 0; i < len(files); i += 2 {
			w, err := z.Create(files[i])
			require.NoError(t, err)
			_, err = w.Write([]byte(files[i+1]))
			require.NoError(t, err)
		}
		require.NoError(t, z.Close())
		return bytes.NewReader(b.Bytes())
	}
	in := pack("a.xml", "<testsuite><testcase name='a'/></testsuite>", "note.txt", "no", "d/b.XML", "<testsuite><testcase name='b'/></testsuite>")
	r, err := ParseZip(in, in.Size())
	require.NoError(t, err)
	require.Equal(t, 2, r.Summary().Passed)

	in = pack("a.xml", "<testsuite>")
	_, err = ParseZip(in, in.Size())
	require.ErrorContains(t, err, "a.xml:1:12: is not XML")

	half := "<testsuite>" + strings.Repeat(" ", MaxBytes/2) + "</testsuite>"
	in = pack("a.xml", half, "b.xml", half)
	_, err = ParseZip(in, in.Size())
	require.Equal(t, ci.CodeTooLarge, ci.CodeOf(err), "%v", err)

	_, err = ParseZip(strings.NewReader("no"), 2)
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
}

// TestRealReports reads what real runners wrote. Files of other formats are refused by their root.
func TestRealReports(t *testing.T) {
	t.Parallel()
	const folder = "../../../shared/data/junit"
	if _, err := os.Stat(folder); err != nil {
		t.Skip("no collection of real reports beside the module")
	}
	read, cases := 0, 0
	require.NoError(t, filepath.WalkDir(folder, func(p string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(p) != ".xml" {
			return err
		}
		data, err := os.ReadFile(p)
		require.NoError(t, err)
		r, err := Parse(filepath.Base(p), bytes.NewReader(data))
		if err != nil {
			// web-test's own fixture is a template with a bare "<" in it.
			if filepath.Base(filepath.Dir(p)) != "junit-web-test" {
				require.NotContains(t, string(data), "<testsuite", "%s: %v", p, err)
			}
			return nil
		}
		read++
		cases += len(r.Cases)
		return nil
	}))
	require.Greater(t, read, 30)
	require.Greater(t, cases, 300)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(nested))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := Parse("x", bytes.NewReader(data)); (r == nil) == (err == nil) {
			t.Fatal("want a report or an error")
		}
	})
}
