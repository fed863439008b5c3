package junit

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"

	"ci/pkg/ci"
)

// maxFiles is how many XML files of a zip are read.
const maxFiles = 10_000

// ParseResult reads a result as a run saves it: one XML file, or a zip of
// several. name is what errors call it; they are those of Parse.
func ParseResult(name string, data []byte) (*Report, error) {
	if bytes.HasPrefix(data, []byte("PK")) {
		return ParseZip(bytes.NewReader(data), int64(len(data)))
	}
	return Parse(name, bytes.NewReader(data))
}

// ParseZip reads every .xml file of a zip, which is what a run saves several
// files as. Names and sizes in the zip are not believed.
func ParseZip(r io.ReaderAt, size int64) (*Report, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the result is not a zip: %w", err)
	}
	var report Report
	left := &io.LimitedReader{N: MaxBytes + 1}
	files := 0
	for _, f := range z.File {
		if strings.ToLower(path.Ext(f.Name)) != ".xml" || f.FileInfo().IsDir() {
			continue
		}
		if files++; files > maxFiles {
			return nil, ci.Errorf(ci.CodeTooLarge, "the zip holds more than %d XML files", maxFiles)
		}
		if err := parseMember(&report, f, left); err != nil {
			return nil, err
		}
	}
	return &report, nil
}

// parseMember reads one file of a zip, and counts its bytes into left.
func parseMember(report *Report, f *zip.File, left *io.LimitedReader) error {
	in, err := f.Open()
	if err != nil {
		return ci.Errorf(ci.CodeInvalid, "%.100q can't be unpacked: %w", f.Name, err)
	}
	defer in.Close() //nolint:errcheck // only read from
	left.R = in
	err = parse(report, fmt.Sprintf("%.100s", f.Name), left)
	if left.N <= 0 {
		return ci.Errorf(ci.CodeTooLarge, "the files of the zip have more than %d bytes together", MaxBytes)
	}
	return err
}
