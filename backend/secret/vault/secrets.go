package vault

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/vault/api"
	"golang.org/x/sync/errgroup"

	"ci/pkg/ci"
)

const (
	// key is what a secret's value lies under.
	key = "value"
	// by is the custom metadata that says whose token set a value.
	by = "ci_updated_by"
	// atOnce is how many requests one call makes at a time.
	atOnce = 8
)

func (v *Vault) path(job, name string) string {
	return strings.NewReplacer("{job}", job, "{name}", name).Replace(v.config.Path)
}

// folder holds all secrets of a job.
func (v *Vault) folder(job string) string { return strings.TrimSuffix(v.path(job, ""), "/") }

func (v *Vault) kv() *api.KVv2 { return v.client.KVv2(v.config.Mount) }

// Put implements secret.Store.
func (v *Vault) Put(ctx context.Context, s ci.Secret, value string) (ci.Secret, error) {
	what := "write secret " + s.Name + " of job " + s.Job
	names, err := v.names(ctx, s.Job)
	if err != nil {
		return s, err
	}
	if len(names) >= ci.MaxSecrets && !slices.Contains(names, s.Name) {
		return s, ci.Errorf(ci.CodeConflict, "job %q has %d secrets, which is the most that a job may have; delete one first", s.Job, len(names))
	}
	err = v.do(ctx, what, func(ctx context.Context) error {
		made, err := v.kv().Put(ctx, v.path(s.Job, s.Name), map[string]any{key: value})
		if err != nil {
			return err
		}
		s.Version, s.UpdatedAt = int64(made.VersionMetadata.Version), made.VersionMetadata.CreatedTime.UTC()
		return nil
	})
	if err != nil {
		return s, err
	}
	// All but custom_metadata stays as somebody may have set it.
	note := v.do(ctx, what, func(ctx context.Context) error {
		_, err := v.client.Logical().WriteWithContext(ctx, v.config.Mount+"/metadata/"+v.path(s.Job, s.Name),
			map[string]any{"custom_metadata": map[string]any{by: s.UpdatedBy, "ci_version": strconv.FormatInt(s.Version, 10)}})
		return err
	})
	if note != nil {
		v.log.Warn("Vault has the value, but not who set it", "job", s.Job, "secret", s.Name, "err", note)
	}
	return s, nil
}

// names lists the names below a job's folder, deleted ones too.
func (v *Vault) names(ctx context.Context, job string) (names []string, err error) {
	err = v.do(ctx, "list the secrets of job "+job, func(ctx context.Context) error {
		names = nil
		list, err := v.client.Logical().ListWithContext(ctx, v.config.Mount+"/metadata/"+v.folder(job))
		if err != nil || list == nil {
			return err
		}
		keys, _ := list.Data["keys"].([]any)
		for _, k := range keys {
			if name, ok := k.(string); ok && ci.ValidateSecretName(name) == nil {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return nil
	})
	return names, err
}

// List implements secret.Store.
func (v *Vault) List(ctx context.Context, job string) ([]ci.Secret, error) {
	names, err := v.names(ctx, job)
	if err != nil {
		return nil, err
	}
	found, err := each(ctx, names, func(ctx context.Context, name string) (*ci.Secret, error) { return v.look(ctx, job, name) })
	if err != nil {
		return nil, err
	}
	list := []ci.Secret{}
	for _, s := range found {
		if s != nil {
			list = append(list, *s)
		}
	}
	return list, nil
}

// look returns what is shown of a secret; nil when it has no value.
func (v *Vault) look(ctx context.Context, job, name string) (s *ci.Secret, err error) {
	err = v.do(ctx, "look at secret "+name+" of job "+job, func(ctx context.Context) error {
		s = nil
		meta, err := v.kv().GetMetadata(ctx, v.path(job, name))
		if errors.Is(err, api.ErrSecretNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		last, ok := meta.Versions[strconv.Itoa(meta.CurrentVersion)]
		if !ok || last.Destroyed || !last.DeletionTime.IsZero() {
			return nil
		}
		s = &ci.Secret{Job: job, Name: name, Version: int64(meta.CurrentVersion), UpdatedAt: last.CreatedTime.UTC()}
		if meta.CustomMetadata["ci_version"] == strconv.Itoa(meta.CurrentVersion) { // else somebody set it in Vault itself
			s.UpdatedBy, _ = meta.CustomMetadata[by].(string)
		}
		return nil
	})
	return s, err
}

// Missing implements secret.Store.
func (v *Vault) Missing(ctx context.Context, job string, names []string) ([]string, error) {
	found, err := each(ctx, names, func(ctx context.Context, name string) (*ci.Secret, error) { return v.look(ctx, job, name) })
	if err != nil {
		return nil, err
	}
	var missing []string
	for i, name := range names {
		if found[i] == nil {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// Values implements secret.Store.
func (v *Vault) Values(ctx context.Context, job string, names []string) (map[string]string, error) {
	found, err := each(ctx, names, func(ctx context.Context, name string) (*string, error) { return v.value(ctx, job, name) })
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for i, name := range names {
		if found[i] != nil {
			values[name] = *found[i]
		}
	}
	return values, nil
}

// value reads one value; nil when there is none.
func (v *Vault) value(ctx context.Context, job, name string) (value *string, err error) {
	what := "read secret " + name + " of job " + job
	err = v.do(ctx, what, func(ctx context.Context) error {
		value = nil
		s, err := v.kv().Get(ctx, v.path(job, name))
		if errors.Is(err, api.ErrSecretNotFound) {
			return nil
		}
		if err != nil || s.Data == nil { // without data its last version is deleted
			return err
		}
		text, ok := s.Data[key].(string)
		if !ok || ci.ValidateSecret(name, text) != nil {
			return ci.Errorf(ci.CodeInvalid, "secret %s of job %s, at %s in Vault, has no text under %q that fits into a variable; set it again", name, job, v.path(job, name), key)
		}
		value = &text
		return nil
	})
	return value, err
}

// Delete implements secret.Store.
func (v *Vault) Delete(ctx context.Context, job, name string) error {
	there, err := v.look(ctx, job, name)
	if err != nil {
		return err
	}
	if there == nil {
		return ci.Errorf(ci.CodeNotFound, "job %q has no secret %q", job, name)
	}
	return v.remove(ctx, job, name)
}

func (v *Vault) remove(ctx context.Context, job, name string) error {
	return v.do(ctx, "delete secret "+name+" of job "+job, func(ctx context.Context) error {
		return v.kv().DeleteMetadata(ctx, v.path(job, name))
	})
}

// Forget implements secret.Store.
func (v *Vault) Forget(ctx context.Context, job string) error {
	names, err := v.names(ctx, job)
	if err != nil {
		return err
	}
	_, err = each(ctx, names, func(ctx context.Context, name string) (*ci.Secret, error) { return nil, v.remove(ctx, job, name) })
	return err
}

// each calls fn for every name, a few at once, and returns the results in the order of names.
func each[T any](ctx context.Context, names []string, fn func(context.Context, string) (*T, error)) ([]*T, error) {
	found := make([]*T, len(names))
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, name := range names {
		g.Go(func() error {
			one, err := fn(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			found[i] = one
			return err
		})
	}
	return found, g.Wait()
}
