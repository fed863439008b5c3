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
	for at, k := range map[string]*civ1.Keep{"keep": c.GetKeep(), "keepTotal": c.GetKeepTotal()} {
		keptSizes(sizes, at, k)
	}
	for i, q := range c.GetClasses() {
		sizes["classes["+strconv.Itoa(i)+"].memory"] = q.GetMemory()
		if cpus := q.GetCpus(); math.IsNaN(cpus) || math.IsInf(cpus, 0) {
			return wrong("the configuration", "classes["+strconv.Itoa(i)+"].cpus", "is not a number")
		}
	}
	return wholeSizes("the configuration", sizes)
}

// keptSizes notes the sizes of a Keep under their paths.
func keptSizes(sizes map[string]float64, at string, k *civ1.Keep) {
	sizes[at+".runs.bytes"] = k.GetRuns().GetBytes()
	sizes[at+".results.bytes"] = k.GetResults().GetBytes()
	sizes[at+".console.bytes"] = k.GetConsole().GetBytes()
}

func wholeSizes(what string, sizes map[string]float64) error {
	for path, v := range sizes {
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return wrong(what, path, "%v is not a whole number of bytes", v)
		}
	}
	return nil
}
