package provider_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/fault"
	"stega/services/marketdata/provider"
)

// redirecting is an API that answers with a redirect until it is asked for /moved, and what it was asked for.
func redirecting(t *testing.T, location func(own string) string, files string) (base string, referrers *atomic.Int32) {
	t.Helper()
	referrers = &atomic.Int32{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Referer") != "" {
			referrers.Add(1)
		}
		if r.URL.Path == "/moved" {
			_, _ = fmt.Fprint(w, files)
			return
		}
		w.Header().Set("Location", location("http://"+r.Host))
		w.WriteHeader(http.StatusFound)
	}))
	t.Cleanup(s.Close)
	return s.URL, referrers
}

func TestRedirectsLeadNowhereElse(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer secure.Close()
	limits := provider.Limits{PerSecond: 1000, Retries: 1, MinWait: time.Millisecond}
	providers := map[string]func(base string) provider.Provider{
		"eodhd": func(base string) provider.Provider { return provider.NewEODHD(options(base)) },
		"stooq": func(base string) provider.Provider {
			return provider.NewStooq(provider.StooqOptions{BaseURL: base, Key: "secret-key", Limits: limits})
		},
		"yahoo": func(base string) provider.Provider {
			return provider.NewYahoo(provider.YahooOptions{BaseURL: base, Limits: limits})
		},
	}
	for _, c := range []struct {
		name     string
		location func(own string) string
	}{
		{"another port", func(string) string { return other.URL + "/?api_token=secret-key" }},
		{"another host", func(own string) string {
			return strings.Replace(own, "127.0.0.1", "localhost", 1) + "/moved"
		}},
		{"another scheme", func(string) string { return secure.URL }},
		{"a file", func(string) string { return "file:///etc/hostname" }},
		{"another user", func(own string) string { return strings.Replace(own, "://", "://u:p@", 1) + "/moved" }},
		{"no scheme", func(string) string { u, _ := url.Parse(other.URL); return "//" + u.Host + "/moved" }},
		{"nothing that can be read", func(string) string { return "http://[secret-key" }},
		{"itself, for ever", func(string) string { return "/again" }},
	} {
		for name, open := range providers {
			base, referrers := redirecting(t, c.location, "")
			_, err := open(base).History(t.Context(), "AAPL", nil)
			require.Error(t, err, "%s: %s", name, c.name)
			bad := fault.Of(err)
			if c.name != "nothing that can be read" {
				assert.Equal(t, "provider_redirects", bad.Code, "%s: %s: %v", name, c.name, err)
				assert.Contains(t, bad.Hint, "STEGA_"+strings.ToUpper(name)+"_URL")
			}
			for e := error(bad); e != nil && name != "yahoo"; e = errors.Unwrap(e) { // which has no key
				assert.NotContains(t, e.Error(), "secret-key", "%s: %s", name, c.name)
			}
			assert.Zero(t, referrers.Load(), "%s: %s", name, c.name)
		}
	}
	assert.Zero(t, elsewhere.Load(), "nobody else was asked")
}

func TestARedirectWithinTheHostIsFollowedWithoutAReferrer(t *testing.T) {
	t.Parallel()
	file := `[{"date":"2024-01-05","close":181.18}]`
	base, referrers := redirecting(t, func(own string) string { return own + "/moved" }, file)
	bars, err := provider.NewEODHD(options(base)).History(t.Context(), "AAPL", nil)
	require.NoError(t, err)
	assert.Len(t, bars, 1)
	assert.Zero(t, referrers.Load(), "a referrer would be a URL with the key")
}
