package app

import (
	"context"
	"sync"
	"time"

	"github.com/google/go-github/v60/github"

	"ci/pkg/ci"
)

// Tokens are not used any more some time before their end, so that what begins
// with one also ends with it.
const (
	apiMargin = 5 * time.Minute
	gitMargin = 30 * time.Minute // a clone may take long
)

const (
	// noneFor is how long it is believed that an App is not installed: repositories
	// that need no token are not to cost a request each time.
	noneFor = 20 * time.Second
	// awayFor is how long a forge that did not answer is not asked again for a
	// repository: many runs may wait for the same one, each as long as it has time.
	awayFor = 5 * time.Second
	// newFor is how long a token is not doubted.
	newFor = time.Minute
)

type minter func(ctx context.Context) (*github.InstallationToken, error)

// keeper keeps one token of an installation, and gets the next when it is time.
type keeper struct {
	now    func() time.Time
	margin time.Duration
	away   time.Duration // how long a forge's silence is remembered
	mint   minter
	// asking has room for the one who asks the forge, which may take long. Others
	// wait for it no longer than their contexts last.
	asking chan struct{}

	mu    sync.Mutex // held for moments: never while the forge is asked
	token string
	made  time.Time
	until time.Time // used before
	none  error     // there is nothing to have
	again time.Time // before which none is not asked about again
}

func newKeeper(now func() time.Time, margin, away time.Duration, mint minter) *keeper {
	return &keeper{now: now, margin: margin, away: away, mint: mint, asking: make(chan struct{}, 1)}
}

// value returns the token. Whoever comes while one is fetched waits for it.
func (k *keeper) value(ctx context.Context) (string, error) {
	if token, err := k.kept(); token != "" || err != nil {
		return token, err
	}
	select {
	case k.asking <- struct{}{}:
	case <-ctx.Done():
		return "", Explain(ctx.Err(), "get a token of the App's installation")
	}
	defer func() { <-k.asking }()
	if token, err := k.kept(); token != "" || err != nil {
		return token, err // who asked before us got it
	}
	made, err := k.mint(ctx)
	return k.keep(made, Explain(err, "get a token of the App's installation"))
}

// kept is what is known without asking the forge; "" and nil is nothing.
func (k *keeper) kept() (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch now := k.now(); {
	case k.token != "" && now.Before(k.until):
		return k.token, nil
	case k.none != nil && now.Before(k.again):
		return "", k.none
	}
	return "", nil
}

// keep notes the forge's answer.
func (k *keeper) keep(made *github.InstallationToken, err error) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	switch ci.CodeOf(err) {
	case ci.CodeNotFound:
		k.none, k.again = err, now.Add(noneFor)
	case ci.CodeUnavailable:
		k.none, k.again = err, now.Add(k.away)
	}
	if err != nil {
		return "", err
	}
	k.token, k.none, k.made = made.GetToken(), nil, now
	k.until = made.GetExpiresAt().Add(-k.margin)
	return k.token, nil
}

// forget drops a token that did not open what it is for, unless it is new.
func (k *keeper) forget(value string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.token == value && k.now().Sub(k.made) > newFor {
		k.token = ""
	}
}

// refused forgets a token that was revoked before its end.
func (k *keeper) refused(value string, _ time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.token == value {
		k.token = ""
	}
	return true
}
