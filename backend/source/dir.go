package source

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// tidy makes the folder for temporary repositories, and removes those that an
// earlier process left when it was killed. No other process shares the folder.
func tidy(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the folder for temporary repositories can't be made: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "ci-plan-*"))
	for _, l := range left {
		err = errors.Join(err, os.RemoveAll(l))
	}
	return err
}
