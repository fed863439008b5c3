package api

import (
	"context"

	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// PutSSHKey makes a key pair for hosts, or replaces the hosts of the one that
// has the name. ifVersion replaces only that version (else ci.CodeStale); 0 any.
func (c *Client) PutSSHKey(ctx context.Context, name string, hosts []ci.HostKey, ifVersion int64) (key ci.SSHKey, created bool, err error) {
	req := &civ1.PutSSHKeyRequest{Name: name, Key: &civ1.SSHKey{Hosts: convert.ToHostKeys(hosts)}}
	if ifVersion > 0 {
		req.IfMatch = versionTag(ifVersion)
	}
	m, err := call(ctx, c, c.sshKeys.PutSSHKey, req)
	if err != nil {
		return key, false, err
	}
	return convert.FromSSHKey(m.GetKey()), m.GetCreated(), nil
}

// GetSSHKey returns a key pair, without its private key.
func (c *Client) GetSSHKey(ctx context.Context, name string) (ci.SSHKey, error) {
	m, err := call(ctx, c, c.sshKeys.GetSSHKey, &civ1.GetSSHKeyRequest{Name: name})
	if err != nil {
		return ci.SSHKey{}, err
	}
	return convert.FromSSHKey(m), nil
}

// ListSSHKeys returns all key pairs by name.
func (c *Client) ListSSHKeys(ctx context.Context) ([]ci.SSHKey, error) {
	m, err := call(ctx, c, c.sshKeys.ListSSHKeys, new(civ1.ListSSHKeysRequest))
	if err != nil {
		return nil, err
	}
	var list []ci.SSHKey
	for _, k := range m.GetKeys() {
		list = append(list, convert.FromSSHKey(k))
	}
	return list, nil
}

// DeleteSSHKey deletes a key pair for good; one that a job names is ci.CodeConflict.
func (c *Client) DeleteSSHKey(ctx context.Context, name string) error {
	// Not repeated: a second try of a lost success would say that there is no such key.
	_, err := once(ctx, c, c.sshKeys.DeleteSSHKey, &civ1.DeleteSSHKeyRequest{Name: name})
	return err
}

// ScanHost has the server ask an SSH server ("host" or "host:port") for its host keys.
func (c *Client) ScanHost(ctx context.Context, host string) ([]ci.HostKey, error) {
	m, err := call(ctx, c, c.sshKeys.ScanHost, &civ1.ScanHostRequest{Host: host})
	if err != nil {
		return nil, err
	}
	return convert.FromHostKeys(m.GetHosts()), nil
}
