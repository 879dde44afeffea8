package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// tricks are paths that try to reach what they do not name.
var tricks = []string{
	"//v1/portfolios", "/v1//portfolios", "/v1/portfolios/", "/v1/portfolios//x", "/v1/./portfolios", "/v1/../metrics",
	"/../v1/portfolios",
	"/v1/portfolios/..", "/v1/portfolios/../../metrics", "/v1/portfolios/.", "/v1/%2e%2e/metrics",
	"/v1/portfolios/%2e%2e/%2e%2e/metrics",
	"/v1/portfolios/%2E%2E", "/v1/portfolios/.%2e", "/v1/portfolios/%2e", "/v1/portfolios%2fx", "/v1/portfolios/a%2Fb",
	"/v1%2fportfolios",
	"/v1/portfolios/..%2f..%2fmetrics", "/v1/portfolios/a%5cb", "/v1/portfolios/a%5Cb", `/v1/portfolios\x`,
	`/v1/..\metrics`, "/v1/portfolios;a=b",
	"/v1/portfolios;/x", "/v1/portfolios/x;y", "/v1/portfolios/%3b", "/v1/portfolios/%00", "/v1/portfolios/a%00b",
	"/v1/portfolios/%0d%0aX:1",
	"/v1/portfolios/%252e%252e", "/v1/portfolios/%25", "/v1/%70ortfolios", "/%76%31/portfolios",
	"/v1/portfolios/%c0%ae%c0%ae", "/v1/portfolios/%e2%80%ae",
	"/v1/portfolios/a%20b", "/v1/portfolios/a b", "/v1/portfolios/%3f", "/v1/portfolios/%23", "/v1/portfolios/*",
	"/v1/portfolios/a%7eb",
	"http://elsewhere/v1/portfolios", "http://elsewhere:80/v1/portfolios", "*",
	"/v1/portfolios/" + strings.Repeat("a", 2000), "/v1/portfolios/%u002e",
}

func TestTricksWithPathsReachNobody(t *testing.T) {
	t.Parallel()
	g, seen := listening()
	for _, path := range tricks {
		w := through(g, "GET", path)
		if w == nil {
			continue // the server itself does not read it
		}
		assert.Equal(t, http.StatusBadRequest, w.Code, "%q: %s", path, w.Body)
		assert.Contains(t, w.Body.String(), "path_malformed", path)
	}
	assert.Empty(t, *seen)
	assert.Equal(t, 204, through(g, "GET", "/v1/portfolios/x").Code)
	assert.Equal(t, []string{"portfolio /v1/portfolios/x"}, *seen)
}

// listening is a gateway whose services write down what they see.
func listening() (*Gateway, *[]string) {
	seen := &[]string{}
	var ups []Upstream
	for _, name := range []string{"portfolio", "marketdata", "returns", "correlations", "optimization"} {
		ups = append(ups,
			Upstream{Service: name, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				*seen = append(*seen, name+" "+r.URL.EscapedPath())
				if r.RequestURI != r.URL.RequestURI() || r.URL.RawPath != "" {
					*seen = append(*seen, "two readings: "+r.RequestURI)
				}
				w.WriteHeader(http.StatusNoContent)
			})})
	}
	return New(Options{Table: paths, Upstreams: ups}), seen
}

// through sends a path as it would come off the wire; nil when it cannot.
func through(g *Gateway, method, path string) *httptest.ResponseRecorder {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil
	}
	r := httptest.NewRequest(method, "/", nil)
	r.URL, r.RequestURI = u, path
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

func TestWhatIsNoServicesIsLeftToOthers(t *testing.T) {
	t.Parallel()
	g, seen := listening()
	var others []string
	h := g.Before(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		others = append(others, r.URL.Path)
	}))
	for _, path := range []string{"/", "/v1/events", "/v1/operations/x", "/v1/stream", "/metrics", "/assets/a%20b",
		"/v1/portfolios", "/v1/dead/returns/1", "/v1/nothing"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
	}
	assert.Equal(t,
		[]string{"/", "/v1/events", "/v1/operations/x", "/v1/stream", "/metrics", "/assets/a b", "/v1/nothing"}, others)
	assert.Equal(t, []string{"portfolio /v1/portfolios", "returns /v1/dead/returns/1"}, *seen)
	for _, path := range []string{"/v1/../metrics", "/v1//operations", "/v1/operations/%2e%2e"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		assert.Equal(t, http.StatusBadRequest, w.Code, path)
	}
	assert.Len(t, others, 7)
}

// Whatever the path, a service sees one of its own, without anything that can be read in two ways, or nothing.
func FuzzPaths(f *testing.F) {
	for _, path := range tricks {
		f.Add(path)
	}
	for _, path := range []string{"/v1/portfolios", "/v1/prices/%5EGSPC?from=2026-01-02",
		"/v1/events/portfolio.created", "/v1/dead/returns/1", "/v1/symbols/A:B"} {
		f.Add(path)
	}
	own := regexp.MustCompile(
		`^(portfolio /v1/portfolios|marketdata /v1/(prices|symbols)|returns /v1/returns|` +
			`correlations /v1/correlations|` +
			`optimization /v1/optimizations|(\w+) /v1/(rebuild|dead|events)/[^/]+)(/([A-Za-z0-9._~:=&-]|%5E)+)*$`)
	f.Fuzz(func(t *testing.T, path string) {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			g, seen := listening()
			if w := through(g, method, path); w != nil && len(*seen) == 0 && !strings.HasPrefix(path, "/v1/dead") &&
				w.Code < 400 {
				t.Errorf("%s %q: %d without asking anybody", method, path, w.Code)
			}
			for _, s := range *seen {
				if path == "/v1/dead" || strings.HasPrefix(path, "/v1/dead?") {
					continue // asks everybody
				}
				if !own.MatchString(s) || strings.Contains(s, "/.") &&
					strings.Trim(s[strings.LastIndex(s, "/")+1:], ".") == "" {
					t.Errorf("%s %q arrives as %q", method, path, s)
				}
			}
		}
	})
}
