package convert

import (
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ToSSHKey converts what is shown of a key pair.
func ToSSHKey(k *ci.SSHKey) *civ1.SSHKey {
	return &civ1.SSHKey{
		Name:        k.Name,
		Hosts:       each(k.Hosts, ToHostKey),
		PublicKey:   k.PublicKey,
		Fingerprint: k.Fingerprint,
		CreatedAt:   ToTime(k.CreatedAt),
		Version:     uint32(k.Version),
	}
}

// FromSSHKey is ToSSHKey's inverse.
func FromSSHKey(m *civ1.SSHKey) ci.SSHKey {
	return ci.SSHKey{
		Name:        m.GetName(),
		Hosts:       FromHostKeys(m.GetHosts()),
		PublicKey:   m.GetPublicKey(),
		Fingerprint: m.GetFingerprint(),
		CreatedAt:   FromTime(m.GetCreatedAt()),
		Version:     int64(m.GetVersion()),
	}
}

// ToSSHKeys converts a list.
func ToSSHKeys(list []ci.SSHKey) []*civ1.SSHKey { return each(list, ToSSHKey) }

// ToHostKey converts one.
func ToHostKey(h *ci.HostKey) *civ1.HostKey {
	return &civ1.HostKey{Host: h.Host, Key: h.Key, Fingerprint: h.Fingerprint}
}

// FromHostKey is ToHostKey's inverse.
func FromHostKey(m *civ1.HostKey) ci.HostKey {
	return ci.HostKey{Host: m.GetHost(), Key: m.GetKey(), Fingerprint: m.GetFingerprint()}
}

// ToHostKeys converts a list.
func ToHostKeys(list []ci.HostKey) []*civ1.HostKey { return each(list, ToHostKey) }

// FromHostKeys is ToHostKeys' inverse.
func FromHostKeys(list []*civ1.HostKey) []ci.HostKey { return eachFrom(list, FromHostKey) }
