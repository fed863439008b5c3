package docker

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/distribution/reference"
	dockerimage "github.com/docker/docker/api/types/image"

	"ci/pkg/ci"
)

// Time limits of the cache registry: it saves time, so it must not cost much.
const (
	cachePullTime = 10 * time.Minute
	cachePushTime = 10 * time.Minute
	cacheLastTime = 30 * time.Second // for pushes, once the agent ends
)

// cacheRepository reads the setting: HOST/REPOSITORY, without a tag.
func cacheRepository(text string) (reference.Named, error) {
	if text == "" {
		return nil, nil
	}
	named, err := reference.ParseNormalizedNamed(text)
	if err == nil && !reference.IsNameOnly(named) {
		err = fmt.Errorf("it has a tag or a digest")
	}
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the cache registry %q is not HOST/REPOSITORY: %w; an example is registry.example.com/ci/cache", text, err)
	}
	return named, nil
}

// cached is where the image of a key is in the cache registry.
func (d *Driver) cached(key string) (reference.Named, error) { return reference.WithTag(d.cache, key) }

// fetchBuilt has the engine pull the image of a key that another agent has
// built, and says whether it did. Whatever goes wrong, the image can be built.
func (d *Driver) fetchBuilt(ctx context.Context, key string, a accounts, out io.Writer) bool {
	if d.cache == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, cachePullTime)
	defer cancel()
	err := d.tryFetch(ctx, key, a, out)
	if err != nil && ctx.Err() == nil && !missing(err) {
		d.log.Warn("the cache registry can't be read; images are built instead", "registry", d.cache.Name(), "err", err)
		fmt.Fprintf(out, "the cache registry %s can't be read: %v\n", d.cache.Name(), err)
	}
	return err == nil
}

func (d *Driver) tryFetch(ctx context.Context, key string, a accounts, out io.Writer) error {
	from, err := d.cached(key)
	if err != nil {
		return err
	}
	if err := d.runPull(ctx, from.String(), a.header(from), io.Discard); err != nil {
		return err
	}
	defer func() { _ = d.removeImage(context.WithoutCancel(ctx), from.String()) }() // it gets our own tag, or none
	im, err := d.inspectImage(ctx, from.String())
	if err != nil {
		return err
	}
	if im.config.Labels[labelBuild] != key {
		return fmt.Errorf("%s is not what an agent has built under this name", from)
	}
	if err := d.api.ImageTag(ctx, im.id, d.buildTag(key)); err != nil {
		return err
	}
	fmt.Fprintf(out, "Fetched from %s, where an agent has built it from the same files\n", d.cache.Name())
	return nil
}

// shareBuilt pushes the image of a key, beside what follows, for other agents.
func (d *Driver) shareBuilt(key string, a accounts) {
	if d.cache == nil {
		return
	}
	d.pushes.Go(func() {
		if err := d.push(d.pushing, key, a); err != nil {
			d.log.Warn("a built image could not be put into the cache registry; other agents build it themselves", "registry", d.cache.Name(), "key", key, "err", err)
		}
	})
}

func (d *Driver) push(ctx context.Context, key string, a accounts) error {
	ctx, cancel := context.WithTimeout(ctx, cachePushTime)
	defer cancel()
	im, err := d.inspectImage(ctx, d.buildTag(key))
	if err != nil {
		return err
	}
	d.keeper.hold(im.id)
	defer d.keeper.release(im.id)
	to, err := d.cached(key)
	if err != nil {
		return err
	}
	if err := d.api.ImageTag(ctx, im.id, to.String()); err != nil {
		return err
	}
	defer func() { _ = d.removeImage(context.WithoutCancel(ctx), to.String()) }()
	answer, err := d.api.ImagePush(ctx, to.String(), dockerimage.PushOptions{RegistryAuth: cmp.Or(a.header(to), noAccount)})
	if err != nil {
		return err
	}
	return drain(answer)
}

// noAccount is what the engine wants for a push without an account: {}.
const noAccount = "e30="

// endPushes gives the pushes under way a last while.
func (d *Driver) endPushes() {
	timer := time.AfterFunc(cacheLastTime, d.stopPushes)
	defer timer.Stop()
	d.pushes.Wait()
}

// missing says whether an error of a pull means that there is no such image.
func missing(err error) bool {
	return notFound(err) || strings.Contains(err.Error(), "manifest unknown") || strings.Contains(err.Error(), "name unknown") || strings.Contains(err.Error(), "not found")
}
