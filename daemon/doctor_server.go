package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"stega/client"
	"stega/fault"
)

// skew is how far the clocks of client and server may be apart.
const skew = 5 * time.Second

// server asks the server itself, without the daemon.
func (p Patient) server(ctx context.Context) []Finding {
	name := "server " + p.Server.URL
	base, err := normal(p.Server.URL)
	if err != nil {
		return []Finding{{Name: name, Verdict: Fail, Detail: err.Error(), Hint: "set STEGA_URL, or say: stega login"}}
	}
	asked := time.Now()
	a, body, err := p.ask(ctx, http.MethodGet, base+"/readyz", "") //nolint:bodyclose // ask has closed it
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Code == client.CodeServerUnproven {
		return []Finding{{Name: name, Verdict: Fail, Detail: f.Error(), Hint: f.Hint}}
	}
	if err != nil {
		return []Finding{
			{
				Name:    name,
				Verdict: Fail,
				Detail:  "nothing answers: " + err.Error(),
				Hint:    "start it with: stega up; or say where it runs with STEGA_URL",
			},
		}
	}
	took := time.Since(asked)
	findings := []Finding{ready(name, a, body, took), clock(a, asked, took)}
	return append(findings, p.token(ctx, base)...)
}

// ask asks with the token that there is, at most a few seconds.
func (p Patient) ask(ctx context.Context, method, url, body string) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if method != http.MethodGet {
		r.Header.Set("Content-Type", "application/json")
	}
	if p.Server.Token != "" {
		r.Header.Set("Authorization", "Bearer "+p.Server.Token)
	}
	t := client.Options{URL: p.Server.URL, Prove: p.Prove, TLS: p.TLS}.Transport(func() string {
		return p.Server.Token
	})
	defer t.CloseIdleConnections()
	a, err := (&http.Client{Transport: t}).Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(a.Body, 1<<20))
	return a, b, err
}

func ready(name string, a *http.Response, body []byte, took time.Duration) Finding {
	var h client.Health
	if err := json.Unmarshal(body, &h); err != nil || h.Status == "" {
		return Finding{
			Name:    name,
			Verdict: Fail,
			Detail:  "what answers is not stega: " + a.Status,
			Hint:    "what runs there? say where stega is with STEGA_URL",
		}
	}
	f := Finding{Name: name, Verdict: OK, Detail: "is " + h.Status + "; " + strings.Join(h.Lines(), "; ")}
	switch {
	case a.StatusCode != http.StatusOK:
		f.Verdict, f.Hint = Fail, "it gets ready by itself once what is missing is back; see its log"
	case len(h.Degraded) > 0:
		f.Verdict, f.Hint = Warn, "it takes requests; see its log for what is wrong"
	default:
		f.Detail = fmt.Sprintf("is %s, and answered within %s", h.Status, took.Round(time.Millisecond))
	}
	return f
}

// clock compares the clocks, as well as the whole seconds of the Date header allow.
func clock(a *http.Response, asked time.Time, took time.Duration) Finding {
	at, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		return Finding{Name: "clock", Verdict: Note, Detail: "the server does not say what time it has"}
	}
	apart := at.Add(time.Second / 2).Sub(asked.Add(took / 2)).Round(time.Second)
	f := Finding{Name: "clock", Verdict: OK, Detail: "the server's agrees with yours"}
	if apart.Abs() > skew {
		f.Verdict, f.Detail, f.Hint = Warn, fmt.Sprintf(
			"the server's is %s from yours", apart,
		), "set the clock of this machine, or of the server"
	}
	return f
}

// token tries what the token is good for. The write that it tries is empty, which every server refuses after it has
// looked at the token.
func (p Patient) token(ctx context.Context, base string) []Finding {
	f := Finding{Name: "token", Verdict: OK}
	tries := []struct{ scope, method, path string }{
		{
			"read",
			http.MethodGet,
			"/v1/portfolios?limit=1",
		}, {"write", http.MethodPost, "/v1/portfolios"}, {"admin", http.MethodGet, "/v1/tokens"},
	}
	scope := "nothing"
	for _, t := range tries {
		a, _, err := p.ask(ctx, t.method, base+t.path, "") //nolint:bodyclose // ask has closed it
		if err != nil {
			f.Verdict, f.Detail, f.Hint = Warn, "could not be tried: "+err.Error(), "try again"
			return []Finding{f}
		}
		if a.StatusCode == http.StatusUnauthorized {
			f.Verdict, f.Detail, f.Hint = Fail, "is wrong, or was revoked",
				"make one with: stega token create; and give it to: stega login"
			if p.Server.Token == "" {
				f.Detail = "there is none, and the server wants one"
			}
			return []Finding{f}
		}
		if a.StatusCode == http.StatusForbidden {
			break
		}
		if t.scope == "admin" && a.StatusCode == http.StatusNotFound { // an older server, which knows no tokens
			break
		}
		scope = t.scope
	}
	f.Detail = "allows " + scope
	if p.Server.Token == "" {
		f.Detail = "there is none, and the server wants none from here; it allows " + scope
	}
	if scope == "nothing" {
		f.Verdict, f.Hint = Fail, "make another with: stega token create --scope read"
	}
	return []Finding{f}
}
