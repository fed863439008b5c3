package vault

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"

	"github.com/hashicorp/vault/api"

	"ci/pkg/ci"
)

// enter sees to it that there is a session after the one that is not good any
// more (0 for none), and returns its number.
func (v *Vault) enter(ctx context.Context, after int) (int, error) {
	select {
	case <-v.logging:
	case <-ctx.Done():
		return 0, v.fault("log in", ctx.Err())
	}
	defer func() { v.logging <- struct{}{} }()
	v.mu.Lock()
	session := v.session
	v.mu.Unlock()
	if session > after {
		return session, nil
	}
	login, err := v.login(ctx)
	if err != nil {
		return 0, err
	}
	v.client.SetToken(login.Auth.ClientToken)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keeping.stop()
	v.keeping = v.keep(login)
	v.session++
	return v.session, nil
}

func (v *Vault) login(ctx context.Context) (*api.Secret, error) {
	if v.config.TokenFile != "" {
		return v.lookUp(ctx)
	}
	id, err := readLine(v.config.SecretIDFile)
	if err != nil {
		return nil, err
	}
	c, err := v.anonymous()
	if err != nil {
		return nil, err
	}
	login, err := c.Logical().WriteWithContext(ctx, "auth/"+v.config.Auth+"/login", map[string]any{"role_id": v.config.RoleID, "secret_id": id})
	if err != nil {
		return nil, v.fault("log in by AppRole", err)
	}
	if login == nil || login.Auth == nil || login.Auth.ClientToken == "" {
		return nil, ci.Errorf(ci.CodeUnavailable, "Vault answered the log-in by AppRole without a token")
	}
	v.log.Info("logged in to Vault", "method", "approle", "lease", login.Auth.LeaseDuration, "renewable", login.Auth.Renewable)
	return login, nil
}

// lookUp reads the token's file, which may have a newer one, and asks Vault how long it lives.
func (v *Vault) lookUp(ctx context.Context) (*api.Secret, error) {
	token, err := readLine(v.config.TokenFile)
	if err != nil {
		return nil, err
	}
	c, err := v.anonymous()
	if err != nil {
		return nil, err
	}
	c.SetToken(token)
	self, err := c.Auth().Token().LookupSelfWithContext(ctx)
	if err != nil {
		return nil, v.fault("look at the token in "+v.config.TokenFile, err)
	}
	login := &api.Secret{Auth: &api.SecretAuth{ClientToken: token}}
	if self != nil {
		login.Auth.Renewable, _ = self.Data["renewable"].(bool)
		if ttl, ok := self.Data["ttl"].(json.Number); ok {
			seconds, _ := ttl.Int64()
			login.Auth.LeaseDuration = int(seconds)
		}
	}
	return login, nil
}

// anonymous is a client of its own: others must not see a log-in half way.
func (v *Vault) anonymous() (*api.Client, error) {
	c, err := v.client.CloneWithHeaders() // with the namespace, without the token
	if err != nil {
		return nil, ci.Errorf(ci.CodeInternal, "a client for Vault can't be made: %w", err)
	}
	c.ClearToken()
	return c, nil
}

func readLine(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", ci.Errorf(ci.CodeForbidden, "what logs in to Vault can't be read: %w", err)
	}
	if s := strings.TrimSpace(string(b)); s != "" && !strings.ContainsAny(s, " \r\n") {
		return s, nil
	}
	return "", ci.Errorf(ci.CodeForbidden, "%s is to hold one word that logs in to Vault, and does not", path)
}

// keeper renews one token until it is stopped, or the token can't be renewed
// any more: the next call that is refused logs in again.
type keeper struct {
	watcher *api.LifetimeWatcher
	done    sync.WaitGroup
}

// keep starts to renew; nil when there is nothing to renew.
func (v *Vault) keep(login *api.Secret) *keeper {
	if !login.Auth.Renewable || login.Auth.LeaseDuration == 0 {
		return nil
	}
	w, err := v.client.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: login, RenewBehavior: api.RenewBehaviorIgnoreErrors})
	if err != nil {
		v.log.Warn("Vault's token can't be renewed; a new one is got when it ends", "err", err)
		return nil
	}
	k := &keeper{watcher: w}
	k.done.Go(w.Start)
	k.done.Go(func() { v.follow(w) })
	return k
}

func (v *Vault) follow(w *api.LifetimeWatcher) {
	for {
		select {
		case r := <-w.RenewCh():
			v.log.Debug("Vault's token is renewed", "lease", r.Secret.Auth.LeaseDuration)
		case err := <-w.DoneCh():
			if err != nil {
				v.log.Warn("Vault's token could not be renewed; a new one is got when it ends", "err", plain(err))
			}
			return
		}
	}
}

func (k *keeper) stop() {
	if k != nil {
		k.watcher.Stop()
		k.done.Wait()
	}
}
