package ci

import (
	"strings"
	"time"
)

// SignInProvider is one that says who people are: an OpenID provider, or a forge.
type SignInProvider struct {
	// Name is in addresses: "oidc", "github".
	Name string `json:"name"`
	// Title is what people call it.
	Title string `json:"title"`
}

// PasteState is what the state of a sign-in begins with whose answer the person
// takes, by hand, to where it was begun: a terminal has no cookies.
const PasteState = "paste-"

// SignInWord is how people tell such sign-ins apart: a few letters of its state, "" for other states.
func SignInWord(state string) string {
	word, ok := strings.CutPrefix(state, PasteState)
	if !ok || len(word) < 8 {
		return ""
	}
	return word[:4] + "-" + word[4:8]
}

// SignIn is a sign-in that has begun. Who has begun it leads the person to URL,
// keeps Flow, and brings it back with what the provider answers.
type SignIn struct {
	URL string `json:"url"`
	// Flow is sealed: nobody but the server can read or make one. It is good for a few minutes.
	Flow string `json:"flow"`
}

// SignInAnswer is what a provider has answered to a sign-in, by the person's browser.
type SignInAnswer struct {
	Flow  string `json:"flow"`
	State string `json:"state"`
	// Code is what the provider tells of the person for, once; "" where it has refused.
	Code string `json:"code,omitempty"`
	// Issuer is who says that it answers (RFC 9207); "" where it doesn't.
	Issuer string `json:"issuer,omitempty"`
	// Error and ErrorDescription say why it has refused (RFC 6749, 4.1.2.1).
	Error            string `json:"error,omitempty"`
	ErrorDescription string `json:"errorDescription,omitempty"`
}

// SignedIn is what a person gets for an answer: a token like any other, which ends soon.
type SignedIn struct {
	Bearer    string    `json:"bearer"`
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      Role      `json:"role"`
	ExpiresAt time.Time `json:"expiresAt"`
}
