package access

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"

	"stega/fault"
)

// minSecret is how long the secret between services must be, and minLetters how many different characters it must have.
const (
	minSecret  = 32
	minLetters = 10
)

// knownSecrets are parts of secrets that stand in examples.
var knownSecrets = []string{"stega-dev", "changeme", "change-me", "example"}

// CheckSecret refuses a secret between services that can be guessed. The error does not have it.
func CheckSecret(secret string) error {
	letters := map[rune]bool{}
	for _, r := range secret {
		letters[r] = true
	}
	reason := ""
	switch {
	case len(secret) < minSecret:
		reason = "is shorter than 32 characters"
	case len(letters) < minLetters:
		reason = "repeats a few characters"
	}
	for _, known := range knownSecrets {
		if strings.Contains(strings.ToLower(secret), known) {
			reason = "is one that everybody knows"
		}
	}
	if reason == "" {
		return nil
	}
	return fault.Usage("service_token_weak", "the secret between the services %s", reason).
		WithHint("set STEGA_SERVICE_TOKEN to a random one, such as that of: openssl rand -hex 32")
}

// CallerHeader names the caller for whom the boundary sends a request to a service. Services believe it with their
// secret only.
const CallerHeader = "Stega-Caller"

// CallerOf is the value of CallerHeader for the caller of a request; empty when there is none.
func CallerOf(ctx context.Context) string {
	caller, ok := From(ctx)
	if !ok {
		return ""
	}
	return url.Values{"token": {caller.Token}, "name": {caller.Name}}.Encode()
}

// spokenFor is the caller that the boundary names, or the service itself.
func (g *guard) spokenFor(r *http.Request) (name, token string) {
	values, err := url.ParseQuery(r.Header.Get(CallerHeader))
	if err != nil {
		return service, ""
	}
	return cmp.Or(values.Get("name"), service), values.Get("token")
}
