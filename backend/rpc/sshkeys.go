package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/emptypb"

	"ci/backend/auth"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
	"ci/pkg/sshkey"
)

// SSHKeys keeps key pairs; backend/secret/sealed does it. Nothing here returns a private key.
type SSHKeys interface {
	// Put makes a pair, or replaces the hosts of the one that there is. ifVersion is the version that is replaced, 0 any.
	Put(ctx context.Context, name string, hosts []ci.HostKey, ifVersion int64) (key ci.SSHKey, created bool, err error)
	Get(ctx context.Context, name string) (*ci.SSHKey, error)
	List(ctx context.Context) ([]ci.SSHKey, error)
	Delete(ctx context.Context, name string) error
}

// PutSSHKey makes a key pair, or replaces its hosts.
func (s *Services) PutSSHKey(ctx context.Context, req *civ1.PutSSHKeyRequest) (*civ1.PutSSHKeyResponse, error) {
	name := req.GetName()
	if err := ci.ValidateName(name); err != nil {
		return nil, err
	}
	if in := req.GetKey().GetName(); in != "" && in != name {
		return nil, wrong("the key", "name", "%q is not the name in the path, %q; a key can't be renamed", in, name)
	}
	hosts, err := sshkey.CheckHosts(convert.FromHostKeys(req.GetKey().GetHosts()))
	if err != nil {
		return nil, err
	}
	version, err := s.sshKeyVersion(ctx, name, req.GetIfMatch())
	if err != nil {
		return nil, err
	}
	key, created, err := s.SSHKeys.Put(ctx, name, hosts, version)
	if err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	s.Log.Info("SSH key set", "key", name, "fingerprint", key.Fingerprint, "hosts", len(key.Hosts), "created", created, "by", p.Name)
	return &civ1.PutSSHKeyResponse{Key: convert.ToSSHKey(&key), Created: created}, nil
}

// sshKeyVersion turns If-Match into a version for the store: 0 is any.
func (s *Services) sshKeyVersion(ctx context.Context, name, ifMatch string) (int64, error) {
	if ifMatch == "" {
		return 0, nil
	}
	tags, err := parseTags(ifMatch)
	if err != nil {
		return 0, err
	}
	key, err := s.SSHKeys.Get(ctx, name)
	switch {
	case ci.CodeOf(err) == ci.CodeNotFound:
		return 0, ci.Errorf(ci.CodeStale, "If-Match asks for an existing SSH key, and there is no SSH key %s", name)
	case err != nil:
		return 0, err
	case !tags.match(versionTag(key.Version, key.CreatedAt), key.Version):
		return 0, ci.Errorf(ci.CodeStale, "SSH key %s is at version %d, which is not what If-Match names; get it again and repeat the change", name, key.Version)
	}
	return key.Version, nil
}

// GetSSHKey returns one key pair.
func (s *Services) GetSSHKey(ctx context.Context, req *civ1.GetSSHKeyRequest) (*civ1.SSHKey, error) {
	key, err := s.SSHKeys.Get(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return convert.ToSSHKey(key), nil
}

// ListSSHKeys lists all key pairs.
func (s *Services) ListSSHKeys(ctx context.Context, _ *civ1.ListSSHKeysRequest) (*civ1.ListSSHKeysResponse, error) {
	list, err := s.SSHKeys.List(ctx)
	return &civ1.ListSSHKeysResponse{Keys: convert.ToSSHKeys(list)}, err
}

// DeleteSSHKey deletes a key pair for good.
func (s *Services) DeleteSSHKey(ctx context.Context, req *civ1.DeleteSSHKeyRequest) (*emptypb.Empty, error) {
	if err := s.SSHKeys.Delete(ctx, req.GetName()); err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	s.Log.Info("SSH key deleted", "key", req.GetName(), "by", p.Name)
	return new(emptypb.Empty), nil
}

// ScanHost asks a server for its host keys.
func (s *Services) ScanHost(ctx context.Context, req *civ1.ScanHostRequest) (*civ1.ScanHostResponse, error) {
	hosts, err := s.Config.ScanHost(ctx, req.GetHost())
	return &civ1.ScanHostResponse{Hosts: convert.ToHostKeys(hosts)}, err
}

// mayUseKey refuses a token that is limited to some jobs to give one of them
// another key, or a repository that a forge's App opens: both are everybody's, so
// it would open what the token's owner was never shown.
func (s *Services) mayUseKey(ctx context.Context, job *ci.Job) error {
	p, _ := auth.FromContext(ctx)
	if !p.Limited() || job.Git == nil {
		return nil
	}
	if opened, err := s.openedByForge(ctx, job.Git.URL); err != nil || job.Git.SSHKey == "" && !opened {
		return err
	}
	old, err := s.Store.GetJob(ctx, job.Name)
	if err != nil && ci.CodeOf(err) != ci.CodeNotFound {
		return err
	}
	if err == nil && old.Git != nil && old.Git.SSHKey == job.Git.SSHKey && old.Git.URL == job.Git.URL {
		return nil
	}
	return ci.Errorf(ci.CodeForbidden, "the token %s is limited to some jobs, and may not point an SSH key at a repository, nor a job at one that a forge's App opens: ask whoever manages the keys to set git.url and git.sshKey of job %s", p.Name, job.Name)
}

// openedByForge says whether an App may open the repository at a URL.
func (s *Services) openedByForge(ctx context.Context, gitURL string) (bool, error) {
	list, err := s.Forges.List(ctx)
	for k := range list {
		if _, hosts := list[k].Hosts(gitURL); hosts && list[k].AppID != 0 {
			return true, nil
		}
	}
	return false, err
}
