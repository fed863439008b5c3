package api

import (
	"context"

	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// PutSecret sets the value of a job's secret and returns what is shown of it.
func (c *Client) PutSecret(ctx context.Context, job, name, value string) (ci.Secret, error) {
	m, err := call(ctx, c, c.secrets.PutSecret, &civ1.PutSecretRequest{Name: job, Key: name, Secret: &civ1.SecretValue{Value: value}})
	if err != nil {
		return ci.Secret{}, err
	}
	return convert.FromSecret(m), nil
}

// ListSecrets returns what is shown of a job's secrets, by name.
func (c *Client) ListSecrets(ctx context.Context, job string) ([]ci.Secret, error) {
	m, err := call(ctx, c, c.secrets.ListSecrets, &civ1.ListSecretsRequest{Name: job})
	if err != nil {
		return nil, err
	}
	var list []ci.Secret
	for _, s := range m.GetSecrets() {
		list = append(list, convert.FromSecret(s))
	}
	return list, nil
}

// DeleteSecret deletes a job's secret.
func (c *Client) DeleteSecret(ctx context.Context, job, name string) error {
	// Not repeated: a second try of a lost success would say that there is no such secret.
	_, err := once(ctx, c, c.secrets.DeleteSecret, &civ1.DeleteSecretRequest{Name: job, Key: name})
	return err
}

// PutRegistry sets the account at an image registry and returns what is shown of it.
func (c *Client) PutRegistry(ctx context.Context, a ci.RegistryAccess) (ci.Registry, error) {
	m, err := call(ctx, c, c.secrets.PutRegistry, &civ1.PutRegistryRequest{
		Host: a.Host, Account: &civ1.RegistryAccount{Username: a.Username, Password: a.Password},
	})
	if err != nil {
		return ci.Registry{}, err
	}
	return convert.FromRegistry(m), nil
}

// ListRegistries returns what is shown of all accounts, by host.
func (c *Client) ListRegistries(ctx context.Context) ([]ci.Registry, error) {
	m, err := call(ctx, c, c.secrets.ListRegistries, new(civ1.ListRegistriesRequest))
	if err != nil {
		return nil, err
	}
	var list []ci.Registry
	for _, r := range m.GetRegistries() {
		list = append(list, convert.FromRegistry(r))
	}
	return list, nil
}

// DeleteRegistry deletes the account at an image registry.
func (c *Client) DeleteRegistry(ctx context.Context, host string) error {
	_, err := once(ctx, c, c.secrets.DeleteRegistry, &civ1.DeleteRegistryRequest{Host: host})
	return err
}
