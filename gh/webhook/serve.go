package webhook

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"

	"ci/gh/event"
	"ci/pkg/ci"
)

// Prefix is where deliveries come: /hooks/FORGE.
const Prefix = "/hooks/"

// word is what a delivery's id and an event's name are made of.
var word = regexp.MustCompile(`^[A-Za-z0-9 _.:-]{1,100}$`)

// ServeHTTP takes one delivery. 202 says that it is recorded, or was before.
func (i *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, says := i.take(w, r)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": says})
}

func (i *Inbox) take(w http.ResponseWriter, r *http.Request) (status int, says string) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, "webhooks are posted"
	}
	name := r.URL.Path[len(Prefix):]
	if ci.ValidateName(name) != nil {
		return http.StatusNotFound, "no forge of this name is known here"
	}
	forge, err := i.Records.Forge(r.Context(), name)
	switch {
	case ci.CodeOf(err) == ci.CodeNotFound:
		return http.StatusNotFound, "no forge of this name is known here"
	case err != nil:
		i.Log.Warn("webhook: the forge's secret can't be read", "forge", name, "err", err)
		return http.StatusServiceUnavailable, "try again"
	}
	h := headersOf(forge.Kind)
	hook := &ci.Webhook{Forge: name, ID: single(r.Header, h.delivery), Event: single(r.Header, h.event)}
	signature := single(r.Header, h.signature)
	switch {
	case signature == "":
		return http.StatusUnauthorized, "the header " + h.signature + " is missing, or there twice: give the forge the webhook's secret"
	case !word.MatchString(hook.Event):
		return http.StatusBadRequest, "the header " + h.event + " is missing, or is no event's name"
	case !word.MatchString(hook.ID):
		return http.StatusBadRequest, "the header " + h.delivery + " is missing, or is no delivery's id"
	}
	body, status, says := i.read(w, r)
	if status != 0 {
		return status, says
	}
	if !verify(forge.Kind, forge.WebhookSecret, signature, body) {
		i.Log.Warn("webhook: refused, its signature is not the forge's", "forge", name, "delivery", hook.ID)
		return http.StatusUnauthorized, "the signature does not fit the body and the secret of this forge"
	}
	hook.ID = identity(forge.Kind, r.Header, hook.ID, body)
	return i.record(r.Context(), forge, hook, body)
}

// record is the one insert.
func (i *Inbox) record(ctx context.Context, forge *ci.ForgeAccess, hook *ci.Webhook, body []byte) (status int, says string) {
	e := event.Parse(forge.Kind, hook.Event, body)
	hook.Action, hook.Repository, hook.Body = brief(e.Action), brief(e.FullName), body
	hook.Digest = digest(forge.Kind, hook.Event, body)
	hook.ReceivedAt = i.Records.Now()
	hook.NextAt = hook.ReceivedAt
	hook.Trace, _ = i.Trace(ctx)
	fresh, err := i.Records.AddWebhook(ctx, hook)
	switch {
	case err != nil:
		i.Log.Error("webhook: not recorded; the forge has to deliver it again", "forge", hook.Forge, "delivery", hook.ID, "err", err)
		return http.StatusServiceUnavailable, "it could not be recorded; deliver it again"
	case !fresh:
		return http.StatusAccepted, "recorded before; nothing is done twice"
	}
	i.nudge()
	return http.StatusAccepted, "recorded"
}
