// Command protodump writes the .proto sources of Google's API annotations into
// the folder that is its only argument. They are printed from the descriptors
// inside the Go module that is compiled against, so that the two never differ
// and nothing is downloaded beside modules.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "protodump:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: protodump FOLDER")
	}
	files := []protoreflect.FileDescriptor{
		annotations.File_google_api_annotations_proto,
		annotations.File_google_api_http_proto,
	}
	for _, fd := range files {
		if err := write(args[0], fd); err != nil {
			return fmt.Errorf("%s: %w", fd.Path(), err)
		}
	}
	return nil
}

func write(folder string, fd protoreflect.FileDescriptor) error {
	text, err := new(protoprint.Printer).PrintProtoToString(fd)
	if err != nil {
		return err
	}
	to := filepath.Join(folder, filepath.FromSlash(fd.Path()))
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, []byte(text), 0o644)
}
