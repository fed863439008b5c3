package app

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-github/v60/github"

	"ci/pkg/ci"
)

// gitKey names a token for git.
type gitKey struct {
	forge, fullName string
	of              imprint
}

// HTTPAccess returns what the repository at a git URL is read with: a token of the
// forge's App that is good for that repository and for reading alone. It ends
// within the hour, and lasts for half an hour at least. nil says that nothing is
// given out for it: it is at no forge with an App, or the App is not installed
// there. Where several forges are at one host, the first that gives a token counts;
// an error says that none of them does, and why the first could not. A forge's
// plain token is never given: nobody could say how far it reaches.
func (a *Apps) HTTPAccess(ctx context.Context, gitURL string) (*ci.HTTPAccess, error) {
	list, err := a.config.Forges.List(ctx)
	if err != nil {
		return nil, err
	}
	var failed error
	for k := range list {
		fullName, ok := list[k].Hosts(gitURL)
		if !ok || list[k].AppID == 0 {
			continue
		}
		token, err := a.gitToken(ctx, list[k].Name, fullName)
		if err == nil {
			return &ci.HTTPAccess{Username: "x-access-token", Password: token}, nil
		}
		if failed == nil && ci.CodeOf(err) != ci.CodeNotFound {
			failed = err
		}
	}
	return nil, failed
}

// Refused hears that a repository could not be read with what it was given out. A
// token that has worked for a while is forgotten then: it may have been revoked. A
// new one is not, since there are many other reasons.
func (a *Apps) Refused(access *ci.HTTPAccess) {
	a.mu.Lock()
	keepers := slices.Collect(maps.Values(a.git))
	a.mu.Unlock()
	for _, k := range keepers {
		k.forget(access.Password)
	}
}

// gitToken returns a token to read one repository with; ci.CodeNotFound says that
// the App is not installed for it.
func (a *Apps) gitToken(ctx context.Context, forge, fullName string) (string, error) {
	f, err := a.config.Forges.Forge(ctx, forge)
	if err != nil {
		return "", err
	}
	self, err := a.client(f, asApp)
	if err != nil {
		return "", err
	}
	return a.gitKeeper(f, fullName, self).value(ctx)
}

// gitKeeper returns what keeps the repository's token. Those of forges as they
// were before a change are forgotten.
func (a *Apps) gitKeeper(f *ci.ForgeAccess, fullName string, self *github.Client) *keeper {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := gitKey{f.Name, strings.ToLower(fullName), imprintOf(f)}
	if k := a.git[key]; k != nil {
		return k
	}
	for old := range a.git {
		if old.forge == f.Name && old.of != key.of {
			delete(a.git, old)
		}
	}
	k := newKeeper(a.config.Now, gitMargin, awayFor, func(ctx context.Context) (*github.InstallationToken, error) {
		return mintForGit(ctx, self, f, fullName)
	})
	a.git[key] = k
	return k
}

// mintForGit makes a token that reads one repository.
func mintForGit(ctx context.Context, self *github.Client, f *ci.ForgeAccess, fullName string) (*github.InstallationToken, error) {
	owner, name, ok := strings.Cut(fullName, "/")
	if !ok || strings.Contains(name, "/") {
		return nil, ci.Errorf(ci.CodeInvalid, "%q is no repository of GitHub, which is called owner/name", fullName)
	}
	there, resp, err := self.Apps.FindRepositoryInstallation(ctx, owner, name)
	if resp != nil && resp.StatusCode == http.StatusNotFound {
		return nil, ci.Errorf(ci.CodeNotFound, "the GitHub App %s is not installed for %s: install it at %s", f.Slug, fullName, InstallURL(&f.Forge))
	}
	if err != nil {
		return nil, err
	}
	made, _, err := self.Apps.CreateInstallationToken(ctx, there.GetID(), &github.InstallationTokenOptions{
		Repositories: []string{name}, Permissions: &github.InstallationPermissions{Contents: github.String("read")},
	})
	return made, err
}

// InstallURL is the page where people install the forge's App.
func InstallURL(f *ci.Forge) string {
	web, slug := strings.TrimRight(f.URL, "/"), f.Slug
	if slug == "" {
		return web + "/settings/apps"
	}
	if web == "https://github.com" {
		return web + "/apps/" + slug + "/installations/new"
	}
	return web + "/github-apps/" + slug + "/installations/new" // GitHub Enterprise Server
}
