package sealed

import (
	"context"
	"encoding/json"

	"ci/backend/secret/seal"
	"ci/backend/store"
	"ci/pkg/ci"
)

const kindForge = "forge"

// Forges keeps forges in the database, what opens them sealed.
type Forges struct {
	db  *store.Store
	box *seal.Box
}

// NewForges makes a Forges; box seals and opens the keys.
func NewForges(db *store.Store, box *seal.Box) *Forges { return &Forges{db, box} }

// Put creates or replaces a forge. A key that is empty stays as it is stored.
// ifVersion is as in store.PutForge.
func (s *Forges) Put(ctx context.Context, a ci.ForgeAccess, ifVersion int64) (made ci.Forge, created bool, err error) {
	if err := s.complete(ctx, &a); err != nil {
		return made, false, err
	}
	if err := a.Validate(); err != nil {
		return made, false, err
	}
	plain, err := json.Marshal(a.ForgeKeys)
	if err != nil {
		return made, false, err
	}
	sealed, err := s.box.Seal(plain, kindForge, a.Name)
	if err != nil {
		return made, false, err
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		put := a.Forge // the transaction may be tried again
		created, err = tx.PutForge(ctx, &put, sealed, ifVersion)
		if err == nil {
			made = put
		}
		return err
	})
	return made, created, err
}

// complete fills in the keys that were left out. Keys of one server are never
// kept for another: whoever may change an address need not know them.
func (s *Forges) complete(ctx context.Context, a *ci.ForgeAccess) error {
	old, err := s.Forge(ctx, a.Name)
	if ci.CodeOf(err) == ci.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if old.Kind != a.Kind || old.URL != a.URL || old.APIURL() != a.APIURL() {
		return nil
	}
	if a.WebhookSecret == "" {
		a.WebhookSecret = old.WebhookSecret
	}
	if a.PrivateKey == "" && a.AppID == old.AppID {
		a.PrivateKey = old.PrivateKey
	}
	if a.Token == "" {
		a.Token = old.Token
	}
	return nil
}

// Forge returns a forge with what opens it, or ci.CodeNotFound.
func (s *Forges) Forge(ctx context.Context, name string) (*ci.ForgeAccess, error) {
	f, err := s.db.GetForge(ctx, name)
	if err != nil {
		return nil, err
	}
	plain, err := s.box.Open(f.Sealed, kindForge, name)
	if err != nil {
		return nil, err
	}
	a := &ci.ForgeAccess{Forge: f.Forge}
	if err := json.Unmarshal(plain, &a.ForgeKeys); err != nil {
		return nil, ci.Errorf(ci.CodeInternal, "the keys of forge %s are not stored as they should be", name)
	}
	return a, nil
}

// Get returns a forge without what opens it, or ci.CodeNotFound.
func (s *Forges) Get(ctx context.Context, name string) (*ci.Forge, error) {
	f, err := s.db.GetForge(ctx, name)
	if err != nil {
		return nil, err
	}
	return &f.Forge, nil
}

// List returns all forges by name.
func (s *Forges) List(ctx context.Context) ([]ci.Forge, error) { return s.db.ListForges(ctx) }

// Delete removes a forge: ci.CodeConflict when a trigger names it,
// ci.CodeNotFound when there is none.
func (s *Forges) Delete(ctx context.Context, name string) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteForge(ctx, name) })
}
