package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/apidoc"
	"stega/internal/stegatest"
	"stega/process"
	"stega/rest"
)

// strict returns a validator of the document that refuses fields of answers that it does not have.
func strict(t *testing.T) validator.Validator {
	t.Helper()
	text, err := apidoc.OpenAPI(process.HTTPRoutes(), "../..", true)
	require.NoError(t, err)
	document, err := libopenapi.NewDocument(text)
	require.NoError(t, err)
	v, errs := validator.NewValidator(document)
	require.Empty(t, errs)
	return v
}

func TestTheDocumentIsOpenAPI(t *testing.T) {
	t.Parallel()
	valid, errs := strict(t).ValidateDocument()
	for _, e := range errs {
		t.Errorf("%s: %s", e.Message, e.Reason)
	}
	assert.True(t, valid)
}

// Requests to every route, and the answers of a whole server, are as the document says.
func TestAnswersAreAsTheDocumentSays(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	v := strict(t)
	prices := "date,AAA,BBB\n"
	for day := 1; day <= 28; day++ {
		prices += fmt.Sprintf("2026-01-%02d,%d,%d\n", day, 100+day*day%17, 90+day*3%11)
	}
	table := rest.NewTable(process.HTTPRoutes()...)
	sent := map[string]bool{} // by the name of the route
	send := func(method, path, body string, headers ...string) (answer string) {
		t.Helper()
		bare, _, _ := strings.Cut(path, "?")
		route, _, found := table.Find(method, bare)
		assert.True(t, found, "%s %s has no route", method, path)
		sent[route.Name] = true
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		if body == "" {
			r.Body = http.NoBody
		}
		r.Header.Set("Authorization", "Bearer "+s.Token)
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		got, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		var text bytes.Buffer
		_, err = text.ReadFrom(got.Body)
		require.NoError(t, err)
		_ = got.Body.Close()
		got.Body = readCloser{bytes.NewReader(text.Bytes())}
		r.Body = readCloser{strings.NewReader(body)}
		if got.StatusCode < 400 {
			valid, errs := v.ValidateHttpRequestSync(r)
			for _, e := range errs {
				t.Errorf("request %s %s: %s: %s", method, path, e.Message, e.Reason)
			}
			assert.True(t, valid)
		}
		valid, errs := v.ValidateHttpResponse(r, got)
		for _, e := range errs {
			t.Errorf("answer %d of %s %s: %s: %s %v\n%.300s", got.StatusCode, method, path, e.Message, e.Reason,
				e.SchemaValidationErrors, text.String())
		}
		assert.True(t, valid)
		return text.String()
	}
	settled := []string{"Prefer", "wait=30, settled"}
	send("POST", "/v1/prices", prices, append(settled, "Content-Type", "text/csv")...)
	send("POST", "/v1/portfolios",
		`{"name":"growth","assets":[{"symbol":"AAA","weight":"0.6"},{"symbol":"BBB","weight":0.4}]}`, settled...)
	var list struct{ Items []struct{ ID string } }
	ids := func(text string) string {
		require.NoError(t, json.Unmarshal([]byte(text), &list))
		require.NotEmpty(t, list.Items, text)
		return list.Items[0].ID
	}
	portfolio := ids(send("GET", "/v1/portfolios?limit=1", ""))
	send("POST", "/v1/optimizations", `{"symbols":["AAA","BBB"],"objective":"min_volatility"}`, settled...)
	send("POST", "/v1/schedules", `{"name":"close","cron":"30 16 * * 1-5","enabled":false}`, settled...)
	optimization := ids(send("GET", "/v1/optimizations", ""))
	schedule := ids(send("GET", "/v1/schedules", ""))
	operation := ids(send("GET", "/v1/operations", ""))
	for _, path := range []string{
		"/healthz", "/readyz", "/v1/portfolios/" + portfolio, "/v1/prices/providers",
		"/v1/prices/AAA?from=2026-01-05&adjusted=true", "/v1/symbols?prefix=A",
		"/v1/symbols/AAA", "/v1/schedules/" + schedule, "/v1/correlations",
		"/v1/correlations?kind=covariance&method=ledoit_wolf&portfolio=" + portfolio,
		"/v1/correlations/rolling?symbols=AAA,BBB&window=5", "/v1/optimizations/" + optimization,
		"/v1/operations/" + operation + "?tree=true", "/v1/me",
		"/v1/tokens", "/v1/audit", "/v1/dead", "/v1/openapi.json", "/v1/asyncapi.json", "/v1/portfolios/none",
		"/v1/portfolios?limit=0",
	} {
		send("GET", path, "")
	}
	for _, of := range []string{"/v1/returns/assets/AAA", "/v1/returns/portfolios/" + portfolio} {
		for _, view := range []string{
			"", "?benchmark=BBB&risk_free=0.01", "/series?kind=drawdown&benchmark=BBB", "/drawdowns?limit=3", "/table",
			"/table?by=yearly",
			"/rolling?window=5&metric=volatility", "/rolling?window=5&metric=beta&benchmark=BBB",
		} {
			send("GET", of+view, "")
		}
	}
	send("POST", "/v1/optimizations/"+optimization+"/allocation", `{"amount":"10000"}`)
	send("PUT", "/v1/portfolios/"+portfolio, `{"name":"growth","assets":[{"symbol":"AAA","weight":1}]}`)
	send("POST", "/v1/rebuild/returns", "", settled...)
	send("POST", "/v1/tokens", `{"name":"reader","scope":"read","expires_in":"1h"}`)
	send("POST", "/v1/links", "{}")
	send("POST", "/v1/prices/pull", `{"kind":"latest"}`, settled...) // it fails: there is no provider
	send("PUT", "/v1/schedules/"+schedule, `{"name":"close","cron":"0 17 * * 1-5","enabled":false}`, settled...)
	send("POST", "/v1/schedules/"+schedule+"/run", "", settled...)
	send("DELETE", "/v1/schedules/"+schedule, "", settled...)
	send("POST", "/v1/optimizations/"+optimization+"/repeat", "", settled...)
	send("PUT", "/v1/optimizations/"+optimization+"/follow", `{"follow":true}`, settled...) // it has no portfolio
	send("DELETE", "/v1/optimizations/"+optimization, "", settled...)
	send("POST", "/v1/operations/"+operation+"/cancel", "") // it is over
	send("DELETE", "/v1/portfolios/"+portfolio, "", settled...)

	send("DELETE", "/v1/tokens/"+ids(send("GET", "/v1/tokens", "")), "")
	send("POST", "/v1/proof", `{"nonce":"`+strings.Repeat("A", 43)+`"}`)
	send("POST", "/v1/proof", `{"nonce":"short"}`)
	send("POST", "/v1/logout", "") // a token is no session
	send("GET", "/", "", "Accept", "text/html")
	send("GET", "/login?code=none", "")
	send("GET", "/metrics", "")
	send("GET", "/v1/stream", "") // it has no channel

	send("POST", "/v1/events/marketdata.prices_imported", `{"symbol":"CCC","dates":["2026-01-05"],"close":["1"]}`)
	send("POST", "/v1/events/no.such", "{}")
	send("GET", "/v1/events?from=0&follow=false", "")
	send("GET", "/v1/dead/returns/1", "") // no message is dead
	send("POST", "/v1/dead/returns/1/retry", "{}")
	send("DELETE", "/v1/dead/returns/1", "")
	for _, r := range table.Routes() {
		assert.True(t, sent[r.Name], "no request is sent to %s %s", r.Method, r.Path)
	}
}

type readCloser struct {
	reader interface{ Read([]byte) (int, error) }
}

func (r readCloser) Read(b []byte) (int, error) { return r.reader.Read(b) }
func (readCloser) Close() error                 { return nil }

func TestTheRefusalOfAnUnknownPathNamesTheDocument(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/v1/nothing", "/v1/portfolios/a/b", "/nothing"} {
		a := stegatest.Up(t).Do(http.MethodGet, path, "")
		assert.Equal(t, http.StatusNotFound, a.Status, path)
		assert.Contains(t, string(a.Body), "GET /v1/openapi.json", path)
	}
}
