package cmd

import (
	"os"

	"stega/daemon"
)

// settings tell the daemon of the servers that its user knows.
type settings struct{}

// Current is the server of requests that name none.
func (settings) Current() (daemon.Server, error) {
	at, err := (&globals{}).place()
	return daemon.Server{URL: at.URL, Token: at.Token}, err
}

// Token is the token for a server.
func (settings) Token(url string) string {
	if v := os.Getenv("STEGA_TOKEN"); v != "" && same(env("STEGA_URL", url), url) {
		return v
	}
	config, err := (&globals{}).readContexts()
	if err != nil {
		return ""
	}
	token, _ := config.tokenOf(url)
	if token == "" && same(url, defaultURL) {
		token, _ = (&globals{}).localToken()
	}
	return token
}

// Local reports whether a token is the one that "stega up" left, which only that server may get.
func (settings) Local(token string) bool {
	local, _ := (&globals{}).localToken()
	return token != "" && token == local
}
