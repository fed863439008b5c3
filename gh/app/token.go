package app

import (
	"context"
	"crypto/rsa"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-github/v60/github"

	"ci/pkg/ci"
)

// An App's own token: GitHub takes none that is good for more than ten minutes,
// and none from its future. It is made for each request.
const (
	appTokenFor = 9 * time.Minute
	clockMargin = time.Minute
)

// parseKey reads the App's private key.
func parseKey(f *ci.ForgeAccess) (*rsa.PrivateKey, error) {
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(f.PrivateKey))
	if err != nil {
		return nil, ci.Errorf(ci.CodeConflict, "the private key of forge %s's App can't be used: it is no RSA key in PEM. Make a new one on the App's page at GitHub, and set it", f.Name)
	}
	return key, nil
}

// appKey are the credentials of an App itself.
type appKey struct {
	id  int64
	key *rsa.PrivateKey
	now func() time.Time

	mu    sync.Mutex
	ahead time.Duration // how far GitHub's clock is ahead of ours
}

func (k *appKey) value(context.Context) (string, error) {
	k.mu.Lock()
	now := k.now().Add(k.ahead)
	k.mu.Unlock()
	return jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer: strconv.FormatInt(k.id, 10), IssuedAt: jwt.NewNumericDate(now.Add(-clockMargin)), ExpiresAt: jwt.NewNumericDate(now.Add(appTokenFor)),
	}).SignedString(k.key)
}

// refused looks whether the clocks differ: a machine whose clock is wrong makes
// tokens from the future, or from long ago.
func (k *appKey) refused(_ string, serverTime time.Time) bool {
	if serverTime.IsZero() {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	ahead := serverTime.Sub(k.now())
	if d := ahead - k.ahead; d.Abs() < clockMargin {
		return false
	}
	k.ahead = ahead
	return true
}

// wanted is what we use of what an App may do. Tokens get no more than that,
// whatever else somebody has granted to the App.
func wanted() *github.InstallationPermissions {
	read, write := github.String("read"), github.String("write")
	return &github.InstallationPermissions{Checks: write, Contents: read, Metadata: read, PullRequests: read, Statuses: write}
}

// mintForAPI makes a token for calls of the API. When the installation has not
// granted all that we use, it is made for what there is.
func mintForAPI(ctx context.Context, c *github.Client, installation int64) (*github.InstallationToken, error) {
	made, resp, err := c.Apps.CreateInstallationToken(ctx, installation, &github.InstallationTokenOptions{Permissions: wanted()})
	if resp == nil || resp.StatusCode != http.StatusUnprocessableEntity {
		return made, err
	}
	there, _, lookErr := c.Apps.GetInstallation(ctx, installation)
	if lookErr != nil {
		return nil, errors.Join(err, lookErr)
	}
	made, _, err = c.Apps.CreateInstallationToken(ctx, installation, &github.InstallationTokenOptions{Permissions: common(wanted(), there.GetPermissions())})
	return made, err
}

// common is what is both wanted and granted.
func common(want, has *github.InstallationPermissions) *github.InstallationPermissions {
	less := func(want, has *string) *string {
		if has == nil || (*want == "write" && *has == "read") {
			return has
		}
		return want
	}
	return &github.InstallationPermissions{
		Checks: less(want.Checks, has.Checks), Contents: less(want.Contents, has.Contents), Metadata: less(want.Metadata, has.Metadata),
		PullRequests: less(want.PullRequests, has.PullRequests), Statuses: less(want.Statuses, has.Statuses),
	}
}
