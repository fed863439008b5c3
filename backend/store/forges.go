package store

import (
	"context"

	"ci/pkg/ci"
)

const forgeFields = "name, kind, url, api, app_id, slug, version, created_at, updated_at"

func forgePlaces(f *ci.Forge) []any {
	return []any{&f.Name, (*string)(&f.Kind), &f.URL, &f.API, &f.AppID, &f.Slug, &f.Version, stamp{&f.CreatedAt}, stamp{&f.UpdatedAt}}
}

// SealedForge is a forge as it is stored.
type SealedForge struct {
	ci.Forge
	Sealed []byte
}

func sealedForgePlaces(f *SealedForge) []any { return append(forgePlaces(&f.Forge), &f.Sealed) }

// maxForges is how many forges there may be: a list has no pages.
const maxForges = 100

// PutForge creates or replaces a forge, and fills in Version, CreatedAt and
// UpdatedAt. ifVersion is as in PutJob.
func (tx *Tx) PutForge(ctx context.Context, f *ci.Forge, sealed []byte, ifVersion int64) (created bool, err error) {
	now := tx.now()
	if ifVersion <= 0 {
		made := *f
		made.Version, made.CreatedAt, made.UpdatedAt = 1, now, now
		n, err := tx.s.exec(ctx, insertText("forges", forgeFields+", sealed", 10)+" ON CONFLICT (name) DO NOTHING", append(values(forgePlaces(&made)), sealed)...)
		if err != nil {
			return false, err
		}
		if n == 1 {
			*f = made
			return true, tx.limitForges(ctx)
		}
		if ifVersion < 0 {
			return false, ci.Errorf(ci.CodeStale, "there is a forge %q already", f.Name)
		}
	}
	text := "UPDATE forges SET kind = ?, url = ?, api = ?, app_id = ?, slug = ?, sealed = ?, updated_at = ?, version = version + 1 WHERE name = ?"
	args := []any{string(f.Kind), f.URL, f.API, f.AppID, f.Slug, sealed, micros(now), f.Name}
	if ifVersion > 0 {
		text += " AND version = ?"
		args = append(args, ifVersion)
	}
	stored, err := one(ctx, tx.s, forgePlaces, text+" RETURNING "+forgeFields, args...)
	if err != nil {
		return false, err
	}
	if stored == nil {
		return false, ci.Errorf(ci.CodeStale, "forge %q is not at version %d any more: somebody changed or deleted it; read it again", f.Name, ifVersion)
	}
	*f = *stored
	return false, nil
}

func (tx *Tx) limitForges(ctx context.Context) error {
	n, err := one(ctx, tx.s, idPlaces, "SELECT COUNT(*) FROM forges")
	if err == nil && *n > maxForges {
		return ci.Errorf(ci.CodeConflict, "there are %d forges, which is the most that there may be; delete one first", maxForges)
	}
	return err
}

// GetForge returns a forge with its sealed keys, or ci.CodeNotFound.
func (r reader) GetForge(ctx context.Context, name string) (*SealedForge, error) {
	f, err := one(ctx, r.s, sealedForgePlaces, "SELECT "+forgeFields+", sealed FROM forges WHERE name = ?", name)
	if err == nil && f == nil {
		return nil, noForge(name)
	}
	return f, err
}

func noForge(name string) error {
	return ci.Errorf(ci.CodeNotFound, "there is no forge %q", name)
}

// ListForges returns all forges by name, without their keys.
func (r reader) ListForges(ctx context.Context) ([]ci.Forge, error) {
	return many(ctx, r.s, forgePlaces, "SELECT "+forgeFields+" FROM forges ORDER BY name")
}

// DeleteForge removes a forge, or says ci.CodeNotFound. One that a trigger
// names is ci.CodeConflict.
func (tx *Tx) DeleteForge(ctx context.Context, name string) error {
	used, err := one(ctx, tx.s, textPlaces, "SELECT name FROM event_triggers WHERE forge = ? ORDER BY name LIMIT 1", name)
	if err != nil {
		return err
	}
	if used != nil {
		return ci.Errorf(ci.CodeConflict, "forge %q is named by trigger %s; delete it, and others that name the forge, first", name, *used)
	}
	n, err := tx.s.exec(ctx, "DELETE FROM forges WHERE name = ?", name)
	if err == nil && n == 0 {
		return noForge(name)
	}
	return err
}
