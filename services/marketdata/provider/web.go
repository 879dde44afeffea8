package provider

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"golang.org/x/time/rate"

	"stega/fault"
)

// Limits bound the requests to an HTTP API; a zero field has a default.
type Limits struct {
	PerSecond float64 // requests a second
	// Of one try, and how often a request that failed in passing is tried again; 20 s and 4 when zero.
	Timeout time.Duration
	Retries int
	// Waits between tries; 500 ms to 20 s when zero.
	MinWait, MaxWait time.Duration
}

// maxAnswer bounds the bytes of an answer.
const maxAnswer = 64 << 20

// site is the address of an HTTP API, with the settings that configure it.
type site struct {
	baseURL    string
	key        string // never shown
	urlSetting string
	keySetting string // empty without a key
}

// web sends requests to an HTTP API within its rate limit, and retries those that can succeed later.
type web struct {
	site
	http    *retryablehttp.Client
	limiter *rate.Limiter
}

func newWeb(s site, l Limits) *web {
	if l.Timeout == 0 {
		l.Timeout = 20 * time.Second
	}
	if l.Retries == 0 {
		l.Retries = 4
	}
	if l.MinWait == 0 {
		l.MinWait = 500 * time.Millisecond
		if l.MaxWait > 0 {
			l.MinWait = min(l.MinWait, l.MaxWait)
		}
	}
	if l.MaxWait == 0 {
		l.MaxWait = 20 * time.Second
	}
	l.MaxWait = max(l.MinWait, l.MaxWait)
	s.baseURL = strings.TrimRight(s.baseURL, "/")
	c := retryablehttp.NewClient()
	c.Logger = nil // a logger would log the key, which is in each URL
	c.RetryMax, c.RetryWaitMin, c.RetryWaitMax = l.Retries, l.MinWait, l.MaxWait
	c.HTTPClient.Timeout = l.Timeout
	c.HTTPClient.CheckRedirect = stay
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	c.Backoff = func(least, most time.Duration, try int, answer *http.Response) time.Duration {
		// A longer Retry-After must not block the job.
		return min(retryablehttp.DefaultBackoff(least, most, try, answer), most)
	}
	limiter := rate.NewLimiter(rate.Limit(l.PerSecond), max(1, int(l.PerSecond)))
	c.PrepareRetry = func(r *http.Request) error { return limiter.Wait(r.Context()) }
	return &web{site: s, http: c, limiter: limiter}
}

// maxRedirects bounds the redirects that are followed.
const maxRedirects = 3

// stay follows redirects only to the same scheme, host and port: requests carry a key, and another address could be
// inside the network of this process. It drops the referrer, which has the key.
func stay(next *http.Request, before []*http.Request) error {
	next.Header.Del("Referer")
	from := before[0].URL
	if len(before) > maxRedirects || next.URL.Scheme != from.Scheme || !strings.EqualFold(next.URL.Host, from.Host) ||
		next.URL.User != nil {
		return http.ErrUseLastResponse
	}
	return nil
}

// get returns the body of an answer with status 200; any other status is a fault.
func (w *web) get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	status, body, err := w.request(ctx, path, query)
	if err != nil {
		return nil, err
	}
	return body, w.refused(status, path)
}

// request returns the status and the body of an answer.
func (w *web) request(ctx context.Context, path string, query url.Values) (status int, body []byte, err error) {
	if err := w.limiter.Wait(ctx); err != nil {
		return 0, nil, err
	}
	request, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, w.baseURL+path+"?"+query.Encode(), nil)
	if err != nil {
		return 0, nil, fault.Invalid("provider_url_invalid", "the URL of the provider of prices cannot be used").
			WithHint("check %s", w.urlSetting)
	}
	request.Header.Set("User-Agent", "stega")
	answer, err := w.http.Do(request)
	if answer != nil {
		defer func() { _ = answer.Body.Close() }()
	}
	if err != nil && answer == nil {
		if ctx.Err() != nil {
			return 0, nil, ctx.Err()
		}
		return 0, nil, fault.Unavailable("provider_unavailable", "the provider of prices does not answer").
			WithHint("it is tried again later; check %s if this stays", w.urlSetting).Because(w.scrub(err))
	}
	body, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return 0, nil, fault.Unavailable("provider_unavailable", "the provider's answer broke off").
			Because(w.scrub(err))
	}
	if len(body) > maxAnswer {
		return 0, nil, strange("more than %d bytes", maxAnswer)
	}
	return answer.StatusCode, body, nil
}

// refused returns the fault of a status other than 200.
func (w *web) refused(code int, path string) error {
	switch {
	case code == http.StatusOK:
		return nil
	case code >= 300 && code < 400:
		return fault.Invalid(
			"provider_redirects", "the provider of prices redirects to another place, which is not followed",
		).
			WithHint("set %s to where the provider is now, if you trust that place with the key", w.urlSetting)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return w.denied()
	case code == http.StatusNotFound:
		return fault.NotFound("provider_unknown", "the provider of prices does not know %s", path)
	case code == http.StatusPaymentRequired || code == http.StatusTooManyRequests:
		return throttled()
	case code >= http.StatusInternalServerError:
		return fault.Unavailable("provider_unavailable", "the provider of prices answers %d", code).
			WithHint("it is tried again later")
	default:
		return fault.New(fault.KindInvalid, "provider_refused", "the provider of prices answers %d", code)
	}
}

// denied returns the fault of a request that the API refuses.
func (w *web) denied() error {
	if w.keySetting == "" {
		return fault.New(fault.KindForbidden, "provider_refused", "the provider of prices refuses to answer").
			WithHint("see whether %s is right, and whether the provider serves where this stega runs", w.urlSetting)
	}
	return fault.New(fault.KindForbidden, "provider_refused", "the provider of prices does not accept the key").
		WithHint("set %s to a key whose plan covers what is asked for", w.keySetting)
}

func throttled() error {
	return fault.Unavailable("provider_throttled", "the provider of prices takes no more requests at present").
		WithHint("its limit is reached; it is tried again later")
}

// strange returns the fault of an invalid answer. The next answer may be valid.
func strange(format string, args ...any) *fault.Fault {
	return fault.New(fault.KindInternal, "provider_answer_invalid", "the provider's answer is not valid: "+format,
		args...)
}

// scrub removes the key from an error, whose text has the URL.
func (w *web) scrub(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	if w.key == "" {
		return err
	}
	shown := err.Error()
	clean := strings.NewReplacer(w.key, "…", url.QueryEscape(w.key), "…", url.PathEscape(w.key), "…").Replace(shown)
	if clean == shown {
		return err
	}
	return errors.New(clean)
}

// noPrices returns the fault of a symbol that the provider does not have; as is the provider's name for it.
func noPrices(symbol, as string) error {
	return fault.NotFound("symbol_unknown", "the provider has no prices of %s", symbol).
		WithHint("check the symbol; the provider was asked for %q", as)
}

// unknown reports whether an error means that the provider does not have a symbol.
func unknown(err error) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && f.Code == "symbol_unknown"
}
