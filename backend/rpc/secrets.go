package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/emptypb"

	"ci/backend/auth"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// Secrets keeps the secrets of jobs; backend/secret declares it.
type Secrets interface {
	Put(ctx context.Context, s ci.Secret, value string) (ci.Secret, error)
	List(ctx context.Context, job string) ([]ci.Secret, error)
	Delete(ctx context.Context, job, name string) error
	// Forget removes all of a job, before the job is deleted.
	Forget(ctx context.Context, job string) error
}

// Registries keeps accounts at image registries; backend/secret/sealed is one.
type Registries interface {
	Put(ctx context.Context, a ci.RegistryAccess, by string) (ci.Registry, error)
	List(ctx context.Context) ([]ci.Registry, error)
	Delete(ctx context.Context, host string) error
}

// PutSecret sets a secret's value.
func (s *Services) PutSecret(ctx context.Context, req *civ1.PutSecretRequest) (*civ1.Secret, error) {
	name, value := req.GetKey(), req.GetSecret().GetValue()
	if err := ci.ValidateSecret(name, value); err != nil {
		return nil, err
	}
	job, err := s.Store.GetJob(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	if job.HasParameter(name) {
		return nil, wrong("the secret", "name", "%q is a parameter of job %s; a variable can't be both", name, job.Name)
	}
	p, _ := auth.FromContext(ctx)
	made, err := s.Secrets.Put(ctx, ci.Secret{Job: job.Name, Name: name, UpdatedBy: p.Name}, value)
	if err != nil {
		return nil, err
	}
	s.Log.Info("secret set", "job", made.Job, "secret", made.Name, "version", made.Version, "by", p.Name)
	return convert.ToSecret(&made), nil
}

// ListSecrets lists what is shown of a job's secrets.
func (s *Services) ListSecrets(ctx context.Context, req *civ1.ListSecretsRequest) (*civ1.ListSecretsResponse, error) {
	if _, err := s.Store.GetJob(ctx, req.GetName()); err != nil {
		return nil, err
	}
	list, err := s.Secrets.List(ctx, req.GetName())
	return &civ1.ListSecretsResponse{Secrets: convert.ToSecrets(list)}, err
}

// DeleteSecret deletes a secret.
func (s *Services) DeleteSecret(ctx context.Context, req *civ1.DeleteSecretRequest) (*emptypb.Empty, error) {
	if _, err := s.Store.GetJob(ctx, req.GetName()); err != nil {
		return nil, err
	}
	if err := ci.ValidateSecretName(req.GetKey()); err != nil {
		return nil, err
	}
	if err := s.Secrets.Delete(ctx, req.GetName(), req.GetKey()); err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	s.Log.Info("secret deleted", "job", req.GetName(), "secret", req.GetKey(), "by", p.Name)
	return new(emptypb.Empty), nil
}

// PutRegistry sets the account that agents pull a registry's images with.
func (s *Services) PutRegistry(ctx context.Context, req *civ1.PutRegistryRequest) (*civ1.Registry, error) {
	a := ci.RegistryAccess{Host: req.GetHost(), Username: req.GetAccount().GetUsername(), Password: req.GetAccount().GetPassword()}
	if err := a.Validate(); err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	made, err := s.Registries.Put(ctx, a, p.Name)
	if err != nil {
		return nil, err
	}
	s.Log.Info("registry account set", "host", made.Host, "by", p.Name)
	return convert.ToRegistry(&made), nil
}

// ListRegistries lists what is shown of all accounts.
func (s *Services) ListRegistries(ctx context.Context, _ *civ1.ListRegistriesRequest) (*civ1.ListRegistriesResponse, error) {
	list, err := s.Registries.List(ctx)
	return &civ1.ListRegistriesResponse{Registries: convert.ToRegistries(list)}, err
}

// DeleteRegistry deletes an account.
func (s *Services) DeleteRegistry(ctx context.Context, req *civ1.DeleteRegistryRequest) (*emptypb.Empty, error) {
	if err := s.Registries.Delete(ctx, req.GetHost()); err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	s.Log.Info("registry account deleted", "host", req.GetHost(), "by", p.Name)
	return new(emptypb.Empty), nil
}
