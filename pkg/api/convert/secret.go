package convert

import (
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ToSecret converts what is shown of a secret.
func ToSecret(s *ci.Secret) *civ1.Secret {
	return &civ1.Secret{Job: s.Job, Name: s.Name, Version: uint32(s.Version), UpdatedAt: ToTime(s.UpdatedAt), UpdatedBy: s.UpdatedBy}
}

// FromSecret is ToSecret's inverse.
func FromSecret(m *civ1.Secret) ci.Secret {
	return ci.Secret{Job: m.GetJob(), Name: m.GetName(), Version: int64(m.GetVersion()), UpdatedAt: FromTime(m.GetUpdatedAt()), UpdatedBy: m.GetUpdatedBy()}
}

// ToSecrets converts a list.
func ToSecrets(list []ci.Secret) []*civ1.Secret { return each(list, ToSecret) }

// ToRegistry converts what is shown of an account.
func ToRegistry(r *ci.Registry) *civ1.Registry {
	return &civ1.Registry{Host: r.Host, Username: r.Username, UpdatedAt: ToTime(r.UpdatedAt), UpdatedBy: r.UpdatedBy}
}

// FromRegistry is ToRegistry's inverse.
func FromRegistry(m *civ1.Registry) ci.Registry {
	return ci.Registry{Host: m.GetHost(), Username: m.GetUsername(), UpdatedAt: FromTime(m.GetUpdatedAt()), UpdatedBy: m.GetUpdatedBy()}
}

// ToRegistries converts a list.
func ToRegistries(list []ci.Registry) []*civ1.Registry { return each(list, ToRegistry) }
