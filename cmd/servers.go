package cmd

import (
	"os"

	"stega/daemon"
)

// settings are the servers and tokens that the user of a daemon has set.
type settings struct{}

// Current returns the server of requests that name none.
func (settings) Current() (daemon.Server, error) {
	at, err := (&globals{}).place()
	return daemon.Server{URL: at.URL, Token: at.Token}, err
}

// Token returns the token for a server.
func (settings) Token(url string) string {
	if v := os.Getenv("STEGA_TOKEN"); v != "" && same(env("STEGA_URL", url), url) {
		return v
	}
	config, err := (&globals{}).readContexts()
	if err != nil {
		return ""
	}
	token, _ := config.tokenOf(url)
	if token == "" && isLocal(url) {
		token, _ = (&globals{}).localToken()
	}
	return token
}

// Local reports whether a token is the one that "stega up" left, which is for that server only.
func (settings) Local(token string) bool {
	local, _ := (&globals{}).localToken()
	return token != "" && token == local
}
