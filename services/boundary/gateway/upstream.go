package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"stega/fault"
	"stega/internal/backoff"
)

// Upstream is one service behind the gateway: in this process, or elsewhere.
type Upstream struct {
	Service string
	Handler http.Handler // in this process; then URL is not looked at
	URL     *url.URL
}

// ParseUpstreams reads where services are: portfolio=http://portfolio-api:8420,returns=https://…
func ParseUpstreams(s string) ([]Upstream, error) {
	var list []Upstream
	seen := map[string]bool{}
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		service, where, _ := strings.Cut(part, "=")
		u, err := url.Parse(where)
		if err != nil || service == "" || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
			u.User != nil ||
			u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
			return nil, fault.Usage("services_invalid", "%q does not say where a service is", redacted(part)).
				WithHint("say portfolio=http://portfolio-api:8420,returns=http://returns-api:8420")
		}
		if seen[service] {
			return nil, fault.Usage("services_invalid", "the service %s is there twice",
				service).WithHint("balance the load before one address")
		}
		seen[service] = true
		list = append(list, Upstream{Service: service, URL: &url.URL{Scheme: u.Scheme, Host: u.Host}})
	}
	return list, nil
}

// redacted hides what may be a password in a URL.
func redacted(s string) string {
	if before, after, ok := strings.Cut(s, "@"); ok {
		if i := strings.Index(before, "://"); i >= 0 {
			return before[:i+3] + "…@" + after
		}
	}
	return s
}

// upstream is a service with what stands between it and the gateway.
type upstream struct {
	Upstream
	o         *Options
	transport http.RoundTripper
	breaker   breaker
	proxy     *httputil.ReverseProxy
	m         *metrics
}

// Why a service gave no answer.
var (
	errSlow    = errors.New("no answer came in time")
	errStalled = errors.New("the answer stopped midway")
)

// openError is that the breaker is open.
type openError struct{ wait time.Duration }

func (openError) Error() string {
	return "the service did not answer before, and is left in peace for a while"
}

// RoundTrip asks the service: reads again when it gave no answer, for they change nothing, and nothing of an answer
// has been passed on yet.
func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	tries := 1
	if reads(r.Method) {
		tries = u.o.Attempts
	}
	for try := 1; ; try++ {
		answer, err := u.attempt(r)
		if try >= tries || !worthRepeating(answer, err) ||
			!backoff.Sleep(r.Context(), backoff.Full(u.o.Pause<<(try-1))) {
			return answer, err
		}
		if answer != nil {
			_ = answer.Body.Close()
		}
		u.m.retries.WithLabelValues(u.Service).Inc()
	}
}

func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// worthRepeating reports whether asking again can help at once. A service that explains why it cannot knows better.
func worthRepeating(answer *http.Response, err error) bool {
	if err == nil {
		return between(answer)
	}
	if _, open := errors.AsType[openError](err); open {
		return false
	}
	return !slow(err) && !errors.Is(err, context.Canceled)
}

// between reports whether an answer is not the service's own but of something on the way that did not reach it.
func between(answer *http.Response) bool {
	return (answer.StatusCode == http.StatusBadGateway || answer.StatusCode == http.StatusServiceUnavailable) &&
		!strings.HasPrefix(answer.Header.Get("Content-Type"), "application/problem+json")
}

// attempt asks once.
func (u *upstream) attempt(r *http.Request) (*http.Response, error) {
	end, wait := u.breaker.begin()
	if end == nil {
		return nil, openError{wait}
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	limit := u.o.WriteTimeout
	if reads(r.Method) {
		limit = u.o.ReadTimeout
	}
	slow := time.AfterFunc(limit, func() { cancel(errSlow) })
	if !reads(r.Method) {
		slow.Stop() // an upload takes its time; the transport bounds what comes after it
	}
	answer, err := u.transport.RoundTrip(r.WithContext(ctx))
	slow.Stop()
	if err != nil {
		if errors.Is(context.Cause(ctx), errSlow) {
			err = errSlow
		}
		cancel(nil)
		end(u.blame(r, err))
		return nil, err
	}
	if between(answer) {
		end(failed)
	} else {
		end(worked)
	}
	answer.Body = newDownload(answer.Body, u.o.IdleTimeout, cancel)
	return answer, nil
}

// blame says whose fault it is that no answer came.
func (u *upstream) blame(r *http.Request, err error) outcome {
	if broken(r) != nil {
		return unsaid
	}
	if r.Context().Err() != nil && !errors.Is(err, errSlow) {
		return unsaid
	}
	return failed
}
