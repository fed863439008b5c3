// Command lszip lists what a zip file holds: size and name, a line each. It
// saves the demo and the tests from needing unzip.
package main

import (
	"archive/zip"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: lszip FILE")
		os.Exit(2)
	}
	if err := list(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "lszip:", err)
		os.Exit(1)
	}
}

func list(path string) error {
	r, err := zip.OpenReader(path)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, f := range r.File {
		fmt.Printf("%8d  %s\n", f.UncompressedSize64, f.Name)
	}
	return nil
}
