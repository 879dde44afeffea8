package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"stega/api"
	"stega/events"
	"stega/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// body has what bodies have: names, numbers, exact decimals, lists, things that may be missing, and JSON that is
// passed on.
type body struct {
	Name   string          `json:"name"`
	Count  int32           `json:"count"`
	Share  decimal.Decimal `json:"share"`
	Due    *time.Time      `json:"due"`
	Parts  []part          `json:"parts"`
	By     map[string]part `json:"by"`
	Data   json.RawMessage `json:"data"`
	Hidden string          `json:"-"`
	inner
}

type part struct {
	Symbol string  `json:"symbol"`
	Ratio  float64 `json:"a/b~c"`
}

type inner struct {
	Version int64 `json:"version"`
}

func TestWhatIsWrongWithJSONIsSaidAndWhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text, code, pointer, says string
	}{
		{"nothing", " \n", "json_malformed", "", "nothing"},
		{"a text that ends early", `{"name":`, "json_malformed", "", "at byte 8"},
		{"a second value", `{"name":"x"} {}`, "json_malformed", "", "after top-level value"},
		{"a brace too many", `{"name":"x"}}`, "json_malformed", "", "after top-level value"},
		{"text that is not UTF-8", "{\"name\":\"\xff\"}", "json_malformed", "", "byte 10 is 0xff"},
		{"nesting without end", `{"data":` + strings.Repeat("[", 100_000), "json_too_deep", "", "deeper than 32"},
		{"a comment", `{/* x */}`, "json_malformed", "", "'/'"},
		{"NaN", `{"count":NaN}`, "json_malformed", "", "'N'"},
		{"an unknown field", `{"colour":1}`, "field_unknown", "/colour", "/colour"},
		{"an unknown field far inside", `{"parts":[{"symbol":"A"},{"colour":1}]}`, "field_unknown", "/parts/1/colour",
			"/parts/1/colour"},
		{"an unknown field in a map", `{"by":{"k~/":{"colour":1}}}`, "field_unknown", "/by/k~0~1/colour", ""},
		{"a name in another case", `{"Name":"x"}`, "field_unknown", "/Name", "known are"},
		{"a field that JSON does not show", `{"Hidden":"x"}`, "field_unknown", "/Hidden", ""},
		{"a field twice", `{"name":"x","name":"y"}`, "field_repeated", "/name", "twice"},
		{"a field twice far inside", `{"parts":[{"symbol":"A","symbol":"A"}]}`, "field_repeated", "/parts/0/symbol",
			""},
		{"a field twice in what is passed on", `{"data":{"a":[{"b":1,"b":2}]}}`, "field_repeated", "/data/a/0/b", ""},
		{"a field twice, once escaped", `{"name":"x","n\u0061me":"y"}`, "field_repeated", "/name", ""},
		{"a list instead of an object", `[1]`, "field_invalid", "", "the JSON cannot be an array"},
		{"a text instead of an object", `"x"`, "field_invalid", "", "the JSON cannot be a string"},
		{"an object instead of a list", `{"parts":{}}`, "field_invalid", "/parts", "/parts cannot be an object"},
		{"a number instead of a text", `{"name":1}`, "field_invalid", "/name", "/name cannot be a number"},
		{"a text instead of a number", `{"parts":[{"a/b~c":"x"}]}`, "field_invalid", "/parts/0/a~1b~0c",
			"cannot be a string"},
		{"a list instead of a text", `{"name":["x"]}`, "field_invalid", "/name", "cannot be an array"},
		{"a number that is too big", `{"count":3000000000}`, "field_invalid", "/count", "cannot be 3000000000"},
		{"a fraction of a whole number", `{"count":1.5}`, "field_invalid", "/count", "cannot be 1.5"},
		{"a float that is too big", `{"parts":[{"a/b~c":1e999}]}`, "field_invalid", "/parts/0/a~1b~0c",
			"cannot be 1e999"},
		{"a decimal that is none", `{"share":"abc"}`, "field_invalid", "/share", `cannot be "abc"`},
		{"a decimal with too many digits", `{"share":` + strings.Repeat("9", 200) + `}`, "field_invalid", "/share",
			"does not fit"},
		{"a time that is none", `{"due":"soon"}`, "field_invalid", "/due", `cannot be "soon"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var b body
			err := Decode([]byte(c.text), &b)
			f, ok := errors.AsType[*fault.Fault](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, c.code, f.Code)
			assert.Contains(t, f.Detail+"; "+f.Hint, c.says)
			assert.NotContains(t, f.Detail, "Go ")
			if c.pointer != "" {
				require.Len(t, f.Errors, 1)
				assert.Equal(t, c.pointer, f.Errors[0].Pointer)
			}
			assert.Equal(t, strings.HasPrefix(c.code, "json_"), f.Kind == fault.KindMalformed)
		})
	}
	f := fault.Of(Decode([]byte("{\n\n\"name\":\n}"), &body{}))
	require.Len(t, f.Errors, 1)
	assert.Equal(t, 4, f.Errors[0].Line)
}

func TestJSONThatFitsIsTaken(t *testing.T) {
	t.Parallel()
	var b body
	require.NoError(t, Decode([]byte("\n"+`{"name":"ä\u00e4","count":-1,"share":0.6,"due":"2024-01-02T03:04:05Z",
		"parts":[{"symbol":"A","a/b~c":1e3},{}],
		"by":{"x":{"symbol":"B"}},"data":{"free":[1,{"a":null}]},"version":9007199254740993}`), &b))
	assert.Equal(t, "ää", b.Name)
	assert.Equal(t, "0.6", b.Share.String())
	assert.Equal(t, 2024, b.Due.Year())
	assert.Equal(t, []part{{"A", 1000}, {}}, b.Parts)
	assert.Equal(t, int64(9007199254740993), b.Version)
	b = body{}
	require.NoError(t, Decode([]byte(`{"name":null,"due":null,"parts":null,"by":null,"data":null}`), &b))
	assert.Equal(t, body{Data: json.RawMessage("null")}, b)
	require.NoError(t, Decode([]byte(`null`), &b))
}

// Whatever comes: what is taken is what the standard library reads; what is refused is refused with a fault of the
// client.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"name":"x","count":1,"share":"0.6","due":"2024-01-02T03:04:05Z","parts":[{"symbol":"A","a/b~c":1}],` +
			`"by":{"k":{}},"data":[{"a":1}],"version":1}`,
		`{"name":"x","name":"y"}`, `{"Name":1}`, `[[[[`, `{"a":1}{}`, "\"\xff\"",
		`{"count":1e400,"share":99999999999999999999999}`, `{"data":"\ud800"}`, `null`, "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var strictly, freely body
		err := Decode(text, &strictly)
		if err == nil {
			dec := json.NewDecoder(bytes.NewReader(text))
			dec.DisallowUnknownFields()
			require.NoError(t, dec.Decode(&freely))
			assert.Equal(t, freely, strictly)
			return
		}
		got, ok := errors.AsType[*fault.Fault](err)
		require.True(t, ok, "%v", err)
		require.Contains(t, []fault.Kind{fault.KindMalformed, fault.KindInvalid}, got.Kind)
		require.Equal(t, json.Valid(text), got.Kind == fault.KindInvalid || strings.Contains(got.Detail, "UTF-8") ||
			events.TooDeep(text), got.Detail)
		for _, item := range got.Errors {
			require.True(t, item.Pointer == "" || item.Pointer[0] == '/', item.Pointer)
		}
	})
}

func TestPreferredWaits(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"": 0, "wait=5": 5 * time.Second, "Wait = 5": 5 * time.Second, `wait="7"`: 7 * time.Second,
		"respond-async, wait=3": 3 * time.Second,
		"wait=3;strict=1":       3 * time.Second, "wait=0": 0, "return=minimal": 0, "wait=100": maxWait,
		"wait=99999999999":                maxWait,
		"wait=99999999999999999999999999": maxWait, "waiting=soon": 0,
	} {
		got, err := Preferred(http.Header{"Prefer": {value}})
		require.NoError(t, err, value)
		assert.Equal(t, want, got.Wait, value)
	}
	got, err := Preferred(http.Header{"Prefer": {"return=minimal", "wait=2"}})
	require.NoError(t, err)
	assert.Equal(t, 2*time.Second, got.Wait)
	for _, value := range []string{"wait", "wait=", "wait=soon", "wait=-1", "wait=5s", "wait=1.5", "wait=1e3",
		"wait=+5", "wait=5 6"} {
		_, err := Preferred(http.Header{"Prefer": {value}})
		assert.Equal(t, "prefer_malformed", fault.Of(err).Code, value)
	}
}

// edge is a server of the paths that a test makes.
func edge(t *testing.T, routes func(e *echo.Echo)) *httptest.Server {
	t.Helper()
	e := New(Options{})
	routes(e)
	s := httptest.NewServer(e)
	t.Cleanup(s.Close)
	return s
}

// ask returns the status and the body, and the code when it is a fault.
func ask(t *testing.T, s *httptest.Server, method, path string, headers ...string) (status int, text, code string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
	require.NoError(t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	answer, err := s.Client().Do(r)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	if answer.StatusCode >= http.StatusBadRequest {
		assert.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"))
		var p api.Problem
		if len(b) > 0 {
			require.NoError(t, json.Unmarshal(b, &p), "%s", b)
			assert.Equal(t, answer.StatusCode, p.Status)
			assert.Equal(t, answer.Header.Get("X-Request-Id"), p.Instance)
		}
		code = p.Code
	}
	return answer.StatusCode, string(b), code
}

func TestVersionsThatMustMatch(t *testing.T) {
	t.Parallel()
	s := edge(t, func(e *echo.Echo) {
		e.GET("/", func(c echo.Context) error {
			version, err := IfMatch(c)
			if err != nil {
				return err
			}
			return c.String(http.StatusOK, strconv.FormatInt(version, 10))
		})
	})
	for value, want := range map[string]string{
		"":                      "0",
		"*":                     "0",
		`"3"`:                   "3",
		` "3" `:                 "3",
		`W/"12"`:                "12",
		`"9223372036854775807"`: "9223372036854775807",
	} {
		_, text, _ := ask(t, s, http.MethodGet, "/", "If-Match", value)
		assert.Equal(t, want, text, value)
	}
	for _, value := range []string{"3", `"3`, `3"`, `"33`, `""3""`, `"0"`, `"-1"`, `"+3"`, `"03"`, `"x"`, `""`, `"`,
		`"3", "4"`, `"9223372036854775808"`} {
		status, _, code := ask(t, s, http.MethodGet, "/", "If-Match", value)
		assert.Equal(t, http.StatusBadRequest, status, value)
		assert.Equal(t, "if_match_malformed", code, value)
	}
}

func TestWhatTheClientHasIsNotSentAgain(t *testing.T) {
	t.Parallel()
	s := edge(t, func(e *echo.Echo) {
		e.GET("/", func(c echo.Context) error {
			if Unchanged(c, Tag(3)) {
				return c.NoContent(http.StatusNotModified)
			}
			return c.String(http.StatusOK, "it")
		})
	})
	for value, want := range map[string]int{
		"":         200,
		`"2"`:      200,
		"3":        200,
		`"3"`:      304,
		`W/"3"`:    304,
		`"1", "3"`: 304,
		"*":        304,
	} {
		status, _, _ := ask(t, s, http.MethodGet, "/", "If-None-Match", value)
		assert.Equal(t, want, status, value)
	}
}

func TestPagesFollowEachOther(t *testing.T) {
	t.Parallel()
	keys := []string{"a", "b/ü", "c d", "d", "e"}
	s := edge(t, func(e *echo.Echo) {
		Serve(e, Route{Method: http.MethodGet, Path: "/", Query: Paging(), Handler: func(c echo.Context) error {
			p, err := Paged(c)
			if err != nil {
				return err
			}
			var found []string
			for _, k := range keys {
				if k > p.After && len(found) <= p.Limit {
					found = append(found, k)
				}
			}
			return Pages(c, p, found, func(k string) string { return k })
		}})
	})
	type page struct {
		Items      []string `json:"items"`
		NextCursor *string  `json:"next_cursor"`
	}
	get := func(query string) (p page) {
		status, text, _ := ask(t, s, http.MethodGet, "/?"+query)
		require.Equal(t, http.StatusOK, status, text)
		require.NoError(t, json.Unmarshal([]byte(text), &p))
		return p
	}
	for limit := 1; limit <= len(keys)+1; limit++ {
		var all []string
		for query := fmt.Sprintf("limit=%d", limit); ; {
			p := get(query)
			require.LessOrEqual(t, len(p.Items), limit)
			all = append(all, p.Items...)
			if p.NextCursor == nil {
				break
			}
			require.Len(t, p.Items, limit, "a page that another follows is full")
			query = fmt.Sprintf("limit=%d&cursor=%s", limit, url.QueryEscape(*p.NextCursor))
		}
		assert.Equal(t, keys, all, "in pages of %d", limit)
	}
	assert.Equal(t, []string{}, get("cursor="+Cursor("z")).Items, "an empty page is a list")

	for query, want := range map[string]string{
		"limit=0":           "limit_invalid",
		"limit=-1":          "limit_invalid",
		"limit=1001":        "limit_invalid",
		"limit=x":           "limit_invalid",
		"limit=1.5":         "limit_invalid",
		"cursor=@":          "cursor_invalid",
		"cursor=eg":         "cursor_invalid",
		"cursor=xxxxxxxxxx": "cursor_invalid",
		"cursor=%00":        "parameter_invalid",
		"limit=%ff":         "parameter_invalid",
		"cursor=YQ==":       "cursor_invalid",
		"cursor=Y":          "cursor_invalid",
		"colour=1":          "parameter_unknown",
		"Limit=1":           "parameter_unknown",
		"limit=1&limit=2":   "parameter_repeated",
		"limit=%zz":         "query_malformed",
		"limit=1;cursor=YQ": "query_malformed",
	} {
		status, _, code := ask(t, s, http.MethodGet, "/?"+query)
		assert.Equal(t, want, code, query)
		assert.Contains(t, []int{400, 422}, status, query)
	}
}

func TestWindowsOfDays(t *testing.T) {
	t.Parallel()
	s := edge(t, func(e *echo.Echo) {
		Serve(e, Route{Method: http.MethodGet, Path: "/", Query: Windowing(), Handler: func(c echo.Context) error {
			w, err := Windowed(c)
			if err != nil {
				return err
			}
			return c.String(http.StatusOK, fmt.Sprint(w.From, w.To))
		}})
	})
	for query, want := range map[string]string{
		"":                              "<nil> <nil>",
		"from=2024-01-02":               "2024-01-02 <nil>",
		"from=2024-01-02&to=2024-01-02": "2024-01-02 2024-01-02",
	} {
		_, text, _ := ask(t, s, http.MethodGet, "/?"+query)
		assert.Equal(t, want, text)
	}
	for query, want := range map[string]string{
		"from=2024-02-30": "date_invalid", "to=soon": "date_invalid", "from=02/01/2024": "date_invalid",
		"from=2024-01-03&to=2024-01-02": "window_invalid",
	} {
		_, _, code := ask(t, s, http.MethodGet, "/?"+query)
		assert.Equal(t, want, code, query)
	}
}

func TestBodiesAreReadStrictly(t *testing.T) {
	t.Parallel()
	var hashes []string
	s := edge(t, func(e *echo.Echo) {
		e.POST("/:x", func(c echo.Context) error {
			var b body
			hash, err := Body(c, &b)
			if err != nil {
				return err
			}
			hashes = append(hashes, hash)
			return c.String(http.StatusOK, b.Name)
		})
	})
	post := func(path, media, text string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(text))
		require.NoError(t, err)
		r.Header.Set("Content-Type", media)
		answer, err := s.Client().Do(r)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		var p api.Problem
		_ = json.NewDecoder(answer.Body).Decode(&p)
		return answer.StatusCode, p.Code
	}
	for _, c := range []struct {
		media, text, code string
		status            int
	}{
		{"application/json", `{"name":"x"}`, "", 200},
		{"Application/JSON; charset=utf-8", `{"name":"x"}`, "", 200},
		{"text/plain", `{"name":"x"}`, "media_type_unsupported", 415},
		{"", `{"name":"x"}`, "media_type_unsupported", 415},
		{"application/json", `{"name":`, "json_malformed", 400},
		{"application/json", `{"x":1}`, "field_unknown", 422},
		{"application/json", `{"name":"` + strings.Repeat("x", maxBody) + `"}`, "body_too_large", 413},
	} {
		status, code := post("/a", c.media, c.text)
		assert.Equal(t, c.status, status, "%s %.40s", c.media, c.text)
		assert.Equal(t, c.code, code)
	}
	e := echo.New()
	packed := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("{}"))
	packed.Header.Set("Content-Type", "application/json")
	packed.Header.Set("Content-Encoding", "gzip")
	require.ErrorContains(t, Media(e.NewContext(packed, httptest.NewRecorder()), "application/json"),
		`encoded as "gzip"`)
	packed.Header.Set("Content-Encoding", "identity")
	require.NoError(t, Media(e.NewContext(packed, httptest.NewRecorder()), "application/json"))
	post("/b", "application/json", `{"name":"x"}`)
	post("/b", "application/json", `{"name":"y"}`)
	require.Len(t, hashes, 4)
	assert.Equal(t, hashes[0], hashes[1], "the same request has the same hash")
	assert.NotEqual(t, hashes[1], hashes[2], "another path has another")
	assert.NotEqual(t, hashes[2], hashes[3], "another body has another")
}

func TestEveryErrorIsAProblem(t *testing.T) {
	t.Parallel()
	s := edge(t, func(e *echo.Echo) {
		e.GET("/fault", func(echo.Context) error {
			return fmt.Errorf("on the way: %w", fault.Unavailable("x_away", "x is away").Because(errors.New("secret")))
		})
		e.GET("/error", func(echo.Context) error { return errors.New("secret") })
		e.GET("/panic", func(echo.Context) error { panic("secret") })
	})
	for _, c := range []struct {
		method, path, code string
		status             int
	}{
		{http.MethodGet, "/fault", "x_away", 503}, {http.MethodGet, "/error", "internal", 500},
		{http.MethodGet, "/panic", "internal", 500},
		{http.MethodGet, "/nowhere", "path_unknown", 404}, {http.MethodDelete, "/error", "method_not_allowed", 405},
		{http.MethodHead, "/nowhere", "", 404},
	} {
		status, text, code := ask(t, s, c.method, c.path)
		assert.Equal(t, c.status, status, c.path)
		assert.Equal(t, c.code, code, c.path)
		assert.NotContains(t, text, "secret", "causes stay inside")
	}
}

// Who is refused before all was sent hears why, and the next request finds the connection in order.
func TestARefusalReachesWhoIsStillSending(t *testing.T) {
	t.Parallel()
	refused := httptest.NewServer(Pace{}.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Refuse(w, r, fault.New(fault.KindTooLarge, "body_too_large", "too much"))
	})))
	defer refused.Close()
	client := refused.Client()
	defer client.CloseIdleConnections()
	for range 20 {
		r, err := client.Post(refused.URL, "text/csv", io.LimitReader(zeros{}, 8<<20))
		require.NoError(t, err)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		assert.Equal(t, http.StatusRequestEntityTooLarge, r.StatusCode)
		assert.Contains(t, string(body), "body_too_large")
	}
}

// zeros is a body without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
