package cmd

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"stega/client"
	"stega/daemon"
	"stega/fault"
)

// throughDaemon is a client that talks to a server through the user's daemon, which is started when it does not run;
// nil when there is none. With STEGA_DAEMON=off there never is.
func throughDaemon(ctx context.Context, at place, noticed *notices) *client.Client {
	base, err := url.Parse(at.URL)
	if err != nil || base.Host == "" || os.Getenv("STEGA_DAEMON") == "off" {
		return nil
	}
	d, err := dialDaemon(ctx, at.URL, true)
	if err != nil { // commands go straight to the server then, and stega doctor says why
		if f := fault.Of(err); f.Code == "daemon_hung" {
			printf(os.Stderr, "hint: %s, so this goes straight to the server; %s\n", f.Detail, f.Hint)
		}
		return nil
	}
	// The daemon knows the server by a header, so that what is spoken with the daemon itself is always plain HTTP.
	c, err := client.New(client.Options{
		URL: "http://" + base.Host, Token: at.Token, Header: through(at), HTTP: noticed.watch(d.HTTP.Transport),
		UserAgent: "stega-cli/" + version().Version, RetryFor: 10 * time.Second,
	})
	if err != nil {
		return nil
	}
	return c
}

// through are the headers by which the daemon knows what to do with a token.
func through(at place) http.Header {
	if !at.Local {
		return nil
	}
	return http.Header{"Stega-Prove": {"true"}}
}

// notices are what the daemon reports beside its answers.
type notices struct {
	stale   atomic.Int64 // the age in seconds of the oldest answer from before
	refused atomic.Int64 // queued writes that the server refused
}

// watch returns a client that takes note of them.
func (n *notices) watch(next http.RoundTripper) *http.Client {
	return &http.Client{Transport: noticing{n, next}}
}

type noticing struct {
	*notices
	next http.RoundTripper
}

func (n noticing) RoundTrip(r *http.Request) (*http.Response, error) {
	a, err := n.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if text, stale := strings.CutPrefix(a.Header.Get("Stega-Cache"), "stale; age="); stale {
		seconds, _ := strconv.ParseInt(text, 10, 64)
		n.stale.Store(max(n.stale.Load(), seconds, 1))
	}
	if count, err := strconv.ParseInt(a.Header.Get("Stega-Refused"), 10, 64); err == nil {
		n.refused.Store(count)
	}
	return a, nil
}

// print writes them to the standard error.
func (n *notices) print(c *cobra.Command, at place) {
	if seconds := n.stale.Load(); seconds > 0 {
		say(c, "%s is away: this is as the daemon saw it %s ago", at.URL, time.Duration(seconds)*time.Second)
	}
	if count := n.refused.Load(); count == 1 {
		say(c, "a queued write was refused; review it with: stega queue list")
	} else if count > 1 {
		say(c, "%d queued writes were refused; review them with: stega queue list", count)
	}
}

// dialDaemon connects to the daemon for a server; without a URL, for the one that the daemon takes to be current.
func dialDaemon(ctx context.Context, server string, start bool) (*daemon.Connection, error) {
	paths, err := daemon.Locate(os.Getenv)
	if err != nil {
		return nil, err
	}
	return daemon.Connect(ctx, daemon.ConnectOptions{
		Paths: paths, Build: thisBuild(), Server: server, Start: start,
		Warn: func(hint string) { printf(os.Stderr, "hint: %s\n", hint) },
	})
}

// thisBuild is which program this is.
func thisBuild() daemon.Build {
	v := version()
	return daemon.ThisBuild(v.Version, v.Revision)
}
