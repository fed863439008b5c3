package docker

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/registry"

	"ci/pkg/ci"
)

// hub is the registry of references that name none.
const hub = "docker.io"

// ownNames are repositories of images that agents keep for themselves. No job
// may name one: what is in them was made for others.
var ownNames = map[string]bool{buildName: true, "ci-toolbox": true}

// jobImage reads what a job says about an image, and refuses what is not for jobs.
func (d *Driver) jobImage(ref string) (reference.Named, error) {
	named, err := parseImage(ref)
	if err != nil {
		return nil, err
	}
	if d.isOurs(named) {
		return nil, ci.Errorf(ci.CodeInvalid, "image %s is not for jobs: images of that name belong to the agents; name another", ref)
	}
	return named, nil
}

// parseImage reads an image's reference. The result always names a registry, a
// repository and a tag or a digest, so that the engine can't take it for the
// id, or the beginning of the id, of an image of somebody else.
func parseImage(ref string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "%q is not an image's reference: %w; an example is debian:12, or registry.example.com/team/image:1.0", ref, err)
	}
	if tagged, ok := named.(reference.Tagged); ok && named.Name() == hub+"/library/sha256" {
		id := "sha256:" + tagged.Tag()
		return nil, ci.Errorf(ci.CodeInvalid, "%s is no image's reference but the id of one, which says nothing of where it is; name its repository, such as debian:12, or debian@%s for exactly this content", id, id)
	}
	return reference.TagNameOnly(named), nil
}

// floats says whether the owner of the registry is expected to move the
// reference to another image: it says latest, or nothing.
func floats(named reference.Named) bool {
	tagged, ok := named.(reference.Tagged)
	_, pinned := named.(reference.Digested)
	return ok && !pinned && tagged.Tag() == "latest"
}

// accounts find what opens a registry.
type accounts []ci.RegistryAccess

// find returns the account for a registry's host, or nil.
func (a accounts) find(host string) *ci.RegistryAccess {
	for i := range a {
		if registryHost(a[i].Host) == registryHost(host) {
			return &a[i]
		}
	}
	return nil
}

// header is the account for named as the engine wants it; "" is anonymous.
func (a accounts) header(named reference.Named) string {
	found := a.find(reference.Domain(named))
	if found == nil {
		return ""
	}
	text, err := registry.EncodeAuthConfig(registry.AuthConfig{
		Username: found.Username, Password: found.Password, ServerAddress: found.Host,
	})
	if err != nil { // three strings can always be encoded
		return ""
	}
	return text
}

// registryHost is one word for all the names that Docker's own registry has.
func registryHost(host string) string {
	host = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(host), "https://"), "http://"), "/")
	host, _, _ = strings.Cut(host, "/")
	switch host {
	case "", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		return hub
	}
	return host
}

// explainPull says what a failed pull means. The engine's own words follow,
// since only they tell a wrong password from a missing image.
func explainPull(err error, named reference.Named, account bool) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	name, host := reference.FamiliarString(named), reference.Domain(named)
	text := err.Error()
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	const lead = "image %s can't be pulled: "
	switch {
	case says("denied", "unauthorized", "authentication required", "no basic auth credentials", "incorrect username or password"):
		advice := "there is no account for it, so give the server one if the image is private"
		if account {
			advice = "it does not accept the account that the server has for it"
		}
		return ci.Errorf(ci.CodeInvalid, lead+"the registry %s refuses to give it out; check the name, and %s: %w", name, host, advice, err)
	case says("dial tcp", "lookup ", "i/o timeout", "connection refused", "Client.Timeout", "TLS", "x509", "EOF", "server gave HTTP response"):
		return ci.Errorf(ci.CodeUnavailable, lead+"the registry %s can't be reached from the agent's engine; try again, or check its address and the engine's network: %w", name, host, err)
	case says("manifest unknown", "not found", "no such", "does not exist", "no matching manifest"):
		return ci.Errorf(ci.CodeInvalid, lead+"the registry %s does not have it, or not for this machine's kind of processor; check name and tag: %w", name, host, err)
	}
	return ci.Errorf(ci.CodeInvalid, lead+"%w; check its name and whether the agent's engine may read it", name, err)
}
