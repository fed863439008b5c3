package store

import (
	"context"
	"encoding/json"

	"ci/pkg/ci"
)

// stored is the one row of the configuration.
type stored struct {
	document string
	version  int64
}

func configPlaces(s *stored) []any { return []any{&s.document, &s.version} }

// GetConfig returns the configuration, the default when none was ever set. What
// the program that wrote it did not know has its default.
func (r reader) GetConfig(ctx context.Context) (*ci.Config, error) {
	c := ci.DefaultConfig()
	s, err := one(ctx, r.s, configPlaces, "SELECT document, version FROM config WHERE id = 1")
	if err != nil {
		return nil, err
	}
	if s == nil {
		return &c, nil
	}
	if err := json.Unmarshal([]byte(s.document), &c); err != nil {
		return nil, ci.Errorf(ci.CodeInternal, "the stored configuration can't be read: %w", err)
	}
	c.Version = s.version
	return &c, nil
}

// PutConfig replaces the configuration and sets its Version. ifVersion is the
// version that is replaced, 0 is any; when it isn't so, the error is ci.CodeStale.
func (tx *Tx) PutConfig(ctx context.Context, c *ci.Config, ifVersion int64) error {
	first := ci.DefaultConfig().Version
	if _, err := tx.s.exec(ctx, "INSERT INTO config (id, document, version) VALUES (1, '{}', ?) ON CONFLICT (id) DO NOTHING", first); err != nil {
		return err
	}
	version, err := one(ctx, tx.s, idPlaces, "UPDATE config SET document = ?, version = version + 1 WHERE id = 1 AND (? = 0 OR version = ?) RETURNING version",
		value(document{c}), ifVersion, ifVersion)
	if err != nil {
		return err
	}
	if version == nil {
		there, err := tx.GetConfig(ctx)
		if err != nil {
			return err
		}
		return ci.Errorf(ci.CodeStale, "the configuration is at version %d, not %d: somebody changed it; read it again", there.Version, ifVersion)
	}
	c.Version = *version
	return nil
}
