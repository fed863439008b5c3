package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"

	"ci/pkg/ci"
)

// do carries out a request, logs in before if nobody has, and once more if
// Vault does not know our token any more.
func (v *Vault) do(ctx context.Context, what string, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, v.config.Timeout)
	defer cancel()
	session, err := v.enter(ctx, 0)
	if err != nil {
		return err
	}
	err = request(ctx)
	if status(err) == http.StatusForbidden {
		if _, err := v.enter(ctx, session); err != nil {
			return err
		}
		err = request(ctx)
	}
	return v.fault(what, err)
}

// status is the HTTP status that an error is of, 0 for none.
func status(err error) int {
	var r *api.ResponseError
	if errors.As(err, &r) {
		return r.StatusCode
	}
	return 0
}

// fault makes a sentence of what Vault, or the way to it, says.
func (v *Vault) fault(what string, err error) error {
	var said *ci.Error
	if err == nil || errors.As(err, &said) {
		return err
	}
	code := status(err)
	switch {
	case code == http.StatusForbidden:
		return ci.Errorf(ci.CodeForbidden, "Vault at %s does not let us %s: %s. Its policy must allow create, update, read, list and delete on %s/data/… and %s/metadata/…", v.config.Address, what, plain(err), v.config.Mount, v.config.Mount)
	case code >= 400 && code < 500 && code != http.StatusTooManyRequests && code != http.StatusPreconditionFailed && code != 472 && code != 473:
		return ci.Errorf(ci.CodeForbidden, "Vault at %s refuses to %s: %s", v.config.Address, what, plain(err))
	}
	return ci.Errorf(ci.CodeUnavailable, "Vault at %s can't %s at the moment: %s; it is tried again", v.config.Address, what, plain(err))
}

// plain says in a few words what went wrong. Bodies that are not Vault's own
// errors are left out: they may hold anything.
func plain(err error) error {
	var r *api.ResponseError
	var u *url.Error
	switch {
	case errors.As(err, &r) && (r.RawError || len(r.Errors) == 0):
		return fmt.Errorf("HTTP status %d", r.StatusCode)
	case errors.As(err, &r):
		text := strings.Join(r.Errors, "; ")
		if len(text) > 300 {
			text = text[:300] + "…"
		}
		return fmt.Errorf("%s (HTTP status %d)", strings.Join(strings.Fields(text), " "), r.StatusCode)
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	case errors.As(err, &u):
		return u.Err
	}
	return err
}
