package rpc

import (
	"context"
	"math"
	"strconv"

	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// GetConfig returns the configuration.
func (s *Services) GetConfig(ctx context.Context, _ *civ1.GetConfigRequest) (*civ1.Config, error) {
	config, err := s.Store.GetConfig(ctx)
	if err != nil {
		return nil, err
	}
	return convert.ToConfig(config), nil
}

// PutConfig replaces the configuration.
func (s *Services) PutConfig(ctx context.Context, req *civ1.PutConfigRequest) (*civ1.Config, error) {
	if err := wholeBytes(req.GetConfig()); err != nil {
		return nil, err
	}
	config := convert.FromConfig(req.GetConfig())
	if err := config.Validate(); err != nil {
		return nil, err
	}
	version, err := s.configVersion(ctx, req.GetIfMatch())
	if err != nil {
		return nil, err
	}
	if err := s.Store.PutConfig(ctx, config, version); err != nil {
		return nil, err
	}
	return s.GetConfig(ctx, nil)
}

func (s *Services) configVersion(ctx context.Context, ifMatch string) (int64, error) {
	if ifMatch == "" {
		return 0, nil
	}
	tags, err := parseTags(ifMatch)
	if err != nil || tags == nil {
		return 0, err
	}
	now, err := s.Store.GetConfig(ctx)
	if err != nil {
		return 0, err
	}
	if tag := ConfigTag(convert.ToConfig(now)); !tags.match(tag, now.Version) {
		return 0, ci.Errorf(ci.CodeStale, "the configuration is at version %d, which is not what If-Match names; get it again and repeat the change", now.Version)
	}
	return now.Version, nil
}

// wholeBytes refuses sizes that are no whole numbers: JSON has one kind of number.
func wholeBytes(c *civ1.Config) error {
	sizes := map[string]float64{"maxConsole": c.GetMaxConsole(), "maxResult": c.GetMaxResult()}
	for i, q := range c.GetClasses() {
		sizes["classes["+strconv.Itoa(i)+"].memory"] = q.GetMemory()
		if cpus := q.GetCpus(); math.IsNaN(cpus) || math.IsInf(cpus, 0) {
			return wrong("the configuration", "classes["+strconv.Itoa(i)+"].cpus", "is not a number")
		}
	}
	for path, v := range sizes {
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return wrong("the configuration", path, "%v is not a whole number of bytes", v)
		}
	}
	return nil
}
