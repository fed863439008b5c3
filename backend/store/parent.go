package store

import (
	"database/sql/driver"
	"fmt"

	"ci/pkg/ci"
)

// A run's parent is two columns, so that its children can be listed by an
// index. No parent is '' and 0.

// parentJob keeps the job of a *ci.RunRef. Its column stands before parentRun's.
type parentJob struct{ ref **ci.RunRef }

// Value implements driver.Valuer.
func (p parentJob) Value() (driver.Value, error) {
	if *p.ref == nil {
		return "", nil
	}
	return (*p.ref).Job, nil
}

// Scan implements sql.Scanner.
func (p parentJob) Scan(src any) error {
	var job string
	switch v := src.(type) {
	case string:
		job = v
	case []byte:
		job = string(v)
	default:
		return fmt.Errorf("a parent's job is stored as %T, not as text", src)
	}
	*p.ref = nil
	if job != "" {
		*p.ref = &ci.RunRef{Job: job}
	}
	return nil
}

// parentRun keeps the run of a *ci.RunRef.
type parentRun struct{ ref **ci.RunRef }

// Value implements driver.Valuer.
func (p parentRun) Value() (driver.Value, error) {
	if *p.ref == nil {
		return int64(0), nil
	}
	return (*p.ref).Run, nil
}

// Scan implements sql.Scanner.
func (p parentRun) Scan(src any) error {
	id, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a parent's run is stored as %T, not as a number", src)
	}
	if *p.ref != nil {
		(*p.ref).Run = id
	}
	return nil
}
