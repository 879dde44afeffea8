package cmd

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"time"

	"stega/client"
	"stega/daemon"
)

// throughDaemon is a client that talks to a server through the user's daemon, which is started when it does not run; nil when there is none. With
// STEGA_DAEMON=off there never is.
func throughDaemon(ctx context.Context, at place) *client.Client {
	base, err := url.Parse(at.URL)
	if err != nil || base.Host == "" || os.Getenv("STEGA_DAEMON") == "off" {
		return nil
	}
	d, err := dialDaemon(ctx, at.URL, true)
	if err != nil {
		return nil // commands go straight to the server then, and stega doctor says why
	}
	// The daemon knows the server by a header, so that what is spoken with the daemon itself is always plain HTTP.
	c, err := client.New(client.Options{
		URL: "http://" + base.Host, Token: at.Token, HTTP: d.HTTP, UserAgent: "stega-cli/" + version().Version, RetryFor: 10 * time.Second,
	})
	if err != nil {
		return nil
	}
	return c
}

// dialDaemon connects to the daemon for a server; without a URL, for the one that the daemon takes to be current.
func dialDaemon(ctx context.Context, server string, start bool) (*daemon.Connection, error) {
	paths, err := daemon.Locate(os.Getenv)
	if err != nil {
		return nil, err
	}
	return daemon.Connect(ctx, daemon.ConnectOptions{
		Paths: paths, Build: thisBuild(), Server: server, Start: start,
		Warn: func(hint string) { _, _ = fmt.Fprintln(os.Stderr, "hint:", hint) },
	})
}

// thisBuild is which program this is.
func thisBuild() daemon.Build {
	v := version()
	return daemon.ThisBuild(v.Version, v.Revision)
}
