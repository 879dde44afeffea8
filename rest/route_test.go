package rest

import (
	"net/http"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"

	"stega/civil"
)

func TestParametersAreCheckedAsTheirRouteDeclaresThem(t *testing.T) {
	t.Parallel()
	s := edge(t, func(e *echo.Echo) {
		Serve(e, Route{Method: http.MethodGet, Path: "/x/{id}", Query: []Param{
			{Name: "count", Type: Integer, Default: 3, Min: 1, Max: 10},
			{Name: "rate", Type: Number, Min: -1, Max: 10, MinOpen: true, MaxOpen: true},
			{Name: "day", Type: Day, Code: "date_invalid"},
			{Name: "all", Type: Boolean},
			{Name: "text"},
			OneOf("kind", "", "simple", "log"),
		}, Handler: func(c echo.Context) error {
			return c.JSON(http.StatusOK, []any{
				c.Param("id"), Arg[int](c, "count"), Arg[float64](c, "rate"), Arg[civil.Date](c, "day"),
				Arg[bool](c, "all"),
				Arg[string](c, "text"), Word[ParamType](c, "kind"),
			})
		}}, Route{Method: http.MethodGet, Path: "/undeclared", Handler: func(c echo.Context) error {
			return c.JSON(http.StatusOK, Arg[string](c, "other"))
		}})
	})
	for query, want := range map[string]string{
		"":                                 `["a",3,0,"1970-01-01",false,"","simple"]` + "\n",
		"count=&kind=&all=":                `["a",3,0,"1970-01-01",false,"","simple"]` + "\n",
		"count=10&rate=-.5&day=2024-01-02": `["a",10,-0.5,"2024-01-02",false,"","simple"]` + "\n",
		"all=true&text=a%20b&kind=log":     `["a",3,0,"1970-01-01",true,"a b","log"]` + "\n",
	} {
		status, text, _ := ask(t, s, http.MethodGet, "/x/a?"+query)
		assert.Equal(t, http.StatusOK, status, "%s: %s", query, text)
		assert.Equal(t, want, text, query)
	}
	for query, want := range map[string]string{
		"count=0": "parameter_invalid", "count=11": "parameter_invalid", "count=1.5": "parameter_invalid",
		"count=x": "parameter_invalid",
		"rate=-1": "parameter_invalid", "rate=10": "parameter_invalid", "rate=NaN": "parameter_invalid",
		"rate=Inf":       "parameter_invalid",
		"day=2024-02-30": "date_invalid", "all=yes": "parameter_invalid", "kind=cubic": "parameter_invalid",
		"Kind=log":      "parameter_unknown",
		"text=a&text=b": "parameter_repeated", "text=%00": "parameter_invalid", "text=%zz": "query_malformed",
	} {
		_, text, code := ask(t, s, http.MethodGet, "/x/a?"+query)
		assert.Equal(t, want, code, "%s: %s", query, text)
	}
	status, _, _ := ask(t, s, http.MethodGet, "/undeclared")
	assert.Equal(t, http.StatusInternalServerError, status,
		"reading a parameter that the route does not declare is a fault of the program")
}

func TestATableFindsTheRouteThatTheRouterTakes(t *testing.T) {
	t.Parallel()
	table := NewTable(
		Route{Name: "one", Method: http.MethodGet, Path: "/v1/prices/{symbol}"},
		Route{Name: "providers", Method: http.MethodGet, Path: "/v1/prices/providers"},
		Route{Name: "pull", Method: http.MethodPost, Path: "/v1/prices/pull"},
		Route{Name: "import", Method: http.MethodPost, Path: "/v1/prices"},
	)
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/v1/prices/AAPL", "one"}, {"HEAD", "/v1/prices/AAPL", "one"}, {"GET", "/v1/prices/pull", "one"},
		{"GET", "/v1/prices/providers", "providers"},
		{"POST", "/v1/prices/pull", "pull"}, {"POST", "/v1/prices", "import"}, {"POST", "/v1/prices/AAPL", ""},
		{"GET", "/v1/prices/", ""},
		{"GET", "/v1/prices/..", ""}, {"GET", "/v1/prices/%2e%2e", ""}, {"GET", "/v1/prices/a%2fb", ""},
		{"GET", "/v1/%70rices/A", ""}, {"get", "/v1/prices/A", ""}, {"", "", ""},
	} {
		r, _, found := table.Find(c.method, c.path)
		assert.Equal(t, c.want, r.Name, "%s %s", c.method, c.path)
		assert.Equal(t, c.want != "", found)
	}
	_, values, _ := table.Find("GET", "/v1/prices/%5EGSPC")
	assert.Equal(t, map[string]string{"{symbol}": "^GSPC"}, values)
	assert.Equal(t, []string{"GET", "HEAD", "POST"}, table.Methods("/v1/prices/pull"))
	assert.Empty(t, table.Methods("/v1/nothing"))
}
