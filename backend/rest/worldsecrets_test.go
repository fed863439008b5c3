package rest

import (
	"context"
	"maps"
	"slices"

	"ci/pkg/ci"
)

// fakeSecrets keeps secrets in memory, without their values.
type fakeSecrets struct{ *world }

func (w fakeSecrets) Put(_ context.Context, s ci.Secret, _ string) (ci.Secret, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return s, w.fail
	}
	key := s.Job + " " + s.Name
	s.Version, s.UpdatedAt = w.secrets[key].Version+1, w.Now()
	w.secrets[key] = s
	return s, nil
}

func (w fakeSecrets) List(_ context.Context, job string) ([]ci.Secret, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []ci.Secret
	for _, key := range slices.Sorted(maps.Keys(w.secrets)) {
		if s := w.secrets[key]; s.Job == job {
			list = append(list, s)
		}
	}
	return list, w.fail
}

func (w fakeSecrets) Delete(_ context.Context, job, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.secrets[job+" "+name]; !ok {
		return ci.Errorf(ci.CodeNotFound, "job %q has no secret %q", job, name)
	}
	delete(w.secrets, job+" "+name)
	return nil
}

func (w fakeSecrets) Forget(_ context.Context, job string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.secrets, func(_ string, s ci.Secret) bool { return s.Job == job })
	return w.fail
}

// fakeRegistries keeps accounts in memory, without their passwords.
type fakeRegistries struct{ *world }

func (w fakeRegistries) Put(_ context.Context, a ci.RegistryAccess, by string) (ci.Registry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := ci.Registry{Host: a.Host, Username: a.Username, UpdatedBy: by, UpdatedAt: w.Now()}
	w.hosts[a.Host] = r
	return r, w.fail
}

func (w fakeRegistries) List(context.Context) ([]ci.Registry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []ci.Registry
	for _, host := range slices.Sorted(maps.Keys(w.hosts)) {
		list = append(list, w.hosts[host])
	}
	return list, w.fail
}

func (w fakeRegistries) Delete(_ context.Context, host string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.hosts[host]; !ok {
		return ci.Errorf(ci.CodeNotFound, "there is no account at registry %q", host)
	}
	delete(w.hosts, host)
	return nil
}
