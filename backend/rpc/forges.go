package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/emptypb"

	"ci/backend/auth"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// Forges keeps forges; backend/secret/sealed does it. Nothing here returns what opens one.
type Forges interface {
	// Put creates or replaces a forge; a key that is empty stays as it is
	// stored. ifVersion is the version that is replaced, 0 any.
	Put(ctx context.Context, a ci.ForgeAccess, ifVersion int64) (f ci.Forge, created bool, err error)
	Get(ctx context.Context, name string) (*ci.Forge, error)
	List(ctx context.Context) ([]ci.Forge, error)
	Delete(ctx context.Context, name string) error
}

// PutForge creates or replaces a forge.
func (s *Services) PutForge(ctx context.Context, req *civ1.PutForgeRequest) (*civ1.PutForgeResponse, error) {
	a := convert.FromForgeAccess(orEmpty(req.GetForge()))
	if a.Name == "" {
		a.Name = req.GetName()
	}
	if a.Name != req.GetName() {
		return nil, wrong("the forge", "name", "%q is not the name in the path, %q; a forge can't be renamed", a.Name, req.GetName())
	}
	if err := ci.ValidateName(a.Name); err != nil {
		return nil, err
	}
	version, err := versionOf(req.GetIfMatch(), "forge "+a.Name, func() (string, int64, error) {
		f, err := s.Forges.Get(ctx, a.Name)
		if err != nil {
			return "", 0, err
		}
		return versionTag(f.Version, f.CreatedAt), f.Version, nil
	})
	if err != nil {
		return nil, err
	}
	f, created, err := s.Forges.Put(ctx, a, version)
	if err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	s.Log.Info("forge set", "forge", f.Name, "kind", f.Kind, "url", f.URL, "app", f.AppID, "created", created, "by", p.Name)
	return &civ1.PutForgeResponse{Forge: convert.ToForge(&f), Created: created}, nil
}

// versionOf turns If-Match into a version for the store: 0 is any. find returns
// the tag and the version of what is there.
func versionOf(ifMatch, what string, find func() (tag string, version int64, err error)) (int64, error) {
	if ifMatch == "" {
		return 0, nil
	}
	tags, err := parseTags(ifMatch)
	if err != nil {
		return 0, err
	}
	tag, version, err := find()
	switch {
	case ci.CodeOf(err) == ci.CodeNotFound:
		return 0, ci.Errorf(ci.CodeStale, "If-Match asks for what exists, and there is no %s", what)
	case err != nil:
		return 0, err
	case !tags.match(tag, version):
		return 0, ci.Errorf(ci.CodeStale, "%s is at version %d, which is not what If-Match names; get it again and repeat the change", what, version)
	}
	return version, nil
}

// GetForge returns one forge.
func (s *Services) GetForge(ctx context.Context, req *civ1.GetForgeRequest) (*civ1.Forge, error) {
	f, err := s.Forges.Get(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return convert.ToForge(f), nil
}

// ListForges lists all forges.
func (s *Services) ListForges(ctx context.Context, _ *civ1.ListForgesRequest) (*civ1.ListForgesResponse, error) {
	list, err := s.Forges.List(ctx)
	return &civ1.ListForgesResponse{Forges: convert.ToForges(list)}, err
}

// DeleteForge deletes a forge.
func (s *Services) DeleteForge(ctx context.Context, req *civ1.DeleteForgeRequest) (*emptypb.Empty, error) {
	if err := s.Forges.Delete(ctx, req.GetName()); err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	s.Log.Info("forge deleted", "forge", req.GetName(), "by", p.Name)
	return new(emptypb.Empty), nil
}
