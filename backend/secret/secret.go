// Package secret is what a store of jobs' secrets is. There are two: sealed
// keeps them in the system's own database, vault in HashiCorp Vault.
package secret

import (
	"context"

	"ci/pkg/ci"
)

// Store keeps the secrets of jobs. Names and values are valid
// (ci.ValidateSecret) and jobs exist: callers check. Errors never hold a value.
// ci.CodeUnavailable means that the store is away and to try again; every
// method returns soon after its context ends, also when the store hangs.
type Store interface {
	// Put sets s.Job's secret s.Name, notes s.UpdatedBy, and returns what is shown of it.
	Put(ctx context.Context, s ci.Secret, value string) (ci.Secret, error)
	// List returns what is shown of a job's secrets, by name.
	List(ctx context.Context, job string) ([]ci.Secret, error)
	// Missing returns those of names that the job has no value for, in their
	// order. It reads no value.
	Missing(ctx context.Context, job string, names []string) ([]string, error)
	// Values returns the values of names. A name without one is not in it.
	Values(ctx context.Context, job string, names []string) (map[string]string, error)
	// Delete removes a secret with all its versions; ci.CodeNotFound when there is none.
	Delete(ctx context.Context, job, name string) error
	// Forget removes all secrets of a job, before the job itself is deleted. Repeating it is safe.
	Forget(ctx context.Context, job string) error
}
