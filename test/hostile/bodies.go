package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

const someID = "019a2f60-0000-7000-8000-000000000001"

// posts are the routes with a body; a read token may send the first.
var posts = []string{
	"POST /v1/optimizations/" + someID + "/allocation", "POST /v1/optimizations", "POST /v1/portfolios",
	"PUT /v1/portfolios/" + someID,
	"POST /v1/prices", "POST /v1/prices/pull", "POST /v1/schedules",
	"PUT /v1/schedules/" + someID, "POST /v1/schedules/" + someID + "/run",
	"PUT /v1/optimizations/" + someID + "/follow", "POST /v1/optimizations/" + someID + "/repeat",
	"POST /v1/operations/" + someID + "/cancel",
	"POST /v1/events/portfolio.created", "POST /v1/rebuild/returns", "POST /v1/dead/returns/" + someID + "/retry",
	"POST /v1/tokens",
	"POST /v1/links", "POST /v1/logout", "POST /v1/proof",
}

// fields are names of fields of the routes.
var fields = []string{"amount", "prices", "name", "assets", "symbols", "groups", "views", "cron", "weights",
	"window", "x", "__proto__", ""}

// body sends an invalid body, or a mutation of one.
func (a *attack) body(ctx context.Context, r *rand.Rand) {
	route := posts[0]
	token := pick(r, a.tokens)
	if token == a.write || r.IntN(3) == 0 {
		route = pick(r, posts)
	}
	method, path, _ := strings.Cut(route, " ")
	kind, build := "odd", odd
	if r.IntN(3) == 0 {
		kind, build = "deep", deep
	}
	body := build(r)
	if r.IntN(3) == 0 {
		kind, body = "mutated", mutate(r, body)
	}
	a.send(ctx, r, kind, method, path, token, body)
}

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// deep returns nested objects with long names, or lists, up to about the limit of a body.
func deep(r *rand.Rand) string {
	depth := pick(r, []int{31, 32, 33, 1000, 9900, 20_000, 1 << 20})
	field := "amount" // of the route for a read token
	if r.IntN(2) == 0 {
		field = pick(r, fields)
	}
	if r.IntN(4) == 0 {
		return nested(field, "[", "]", min(depth, (1<<20-40)/2+r.IntN(8)/7)) // sometimes beyond the limit
	}
	open := `{"` + strings.Repeat("k", 1+r.IntN(400)) + `":`
	return nested(field, open, "}", min(depth, (1<<20-40)/(len(open)+1)+r.IntN(8)/7))
}

// deepest returns the body that needs most memory in a decoder that keeps the parents of each level.
func deepest() string { return nested("amount", `{"`+strings.Repeat("k", 98)+`":`, "}", 9900) }

func nested(field, open, end string, depth int) string {
	return fmt.Sprintf(`{"%s":%s1%s}`, field, strings.Repeat(open, depth), strings.Repeat(end, depth))
}

// odd returns a body with one error.
func odd(r *rand.Rand) string {
	field, n := pick(r, fields), 1+r.IntN(1_000_000)
	value := pick(r, []func() string{
		func() string {
			return pick(r, []string{"1e400", "-1e400", "1e-1000000000", "1e1000000000", "NaN", "-0", "01",
				"9223372036854775808"})
		},
		func() string { return strings.Repeat("9", n) },
		func() string { return "0." + strings.Repeat("0", n) + "1" },
		func() string { return `"` + strings.Repeat("a", n) + `"` },
		func() string { return `"` + strings.Repeat(`\u0000`, n/6) + `"` },
		func() string {
			return pick(r,
				[]string{`"\ud800"`, `"\udc00\ud800"`, "\"\xff\xfe\"", `"\u202e"`, `"\x"`, `"`, "\x00", "null",
					"{}", "[]"})
		},
		func() string { return "[" + strings.Repeat("1,", n/2) + "1]" },
		func() string { return "[" + strings.Repeat("{},", n/3) + "{}]" },
		func() string { return strings.Repeat(" ", n) + "1" },
		func() string { return `{"A":1` + strings.Repeat(`,"A":1`, n/6) + "}" },
		func() string { return `{"s0":1` + distinct(n/12) + "}" },
	})()
	return pick(r, []func() string{
		func() string { return fmt.Sprintf(`{"%s":%s}`, field, value) },
		func() string { return fmt.Sprintf(`{"%s":%s,"%[1]s":%[2]s}`, field, value) },
		func() string { return fmt.Sprintf(`{"%s":1,"%s":2,"amount":%s}`, field, strings.ToUpper(field), value) },
		func() string { return value },
		func() string { return "\xef\xbb\xbf{\"" + field + `":` + value + "}{}" },
		func() string { return "\x1f\x8b" + value },
		func() string { return `{"name":"x","assets":[{"symbol":"AAPL","weight":` + value + `}]}` },
		func() string { return `{"amount":1000,"prices":{"AAPL":` + value + `}}` },
		func() string { return "symbol,date,close\nAAPL,2024-01-02," + value },
	})()
}

func distinct(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	return b.String()
}

// mutate changes, cuts, doubles or removes parts of a body.
func mutate(r *rand.Rand, body string) string {
	b := []byte(body)
	for range 1 + r.IntN(8) {
		if len(b) == 0 {
			break
		}
		at := r.IntN(len(b))
		to := min(len(b), at+1+r.IntN(64))
		switch r.IntN(5) {
		case 0:
			b[at] = byte(r.IntN(256))
		case 1:
			b[at] = pick(r, []byte("{}[]\",:\\0eE-+. \n"))
		case 2:
			b = append(b[:at], b[to:]...)
		case 3:
			b = append(b[:to:to], b[at:]...)
		default:
			b = b[:at]
		}
	}
	return string(b)
}

// groups sends an optimization with long lists. It needs a write token, without which the request is refused early.
func (a *attack) groups(ctx context.Context, r *rand.Rand) {
	if a.write == "" {
		a.query(ctx, r)
		return
	}
	symbols := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"S%d"`, i)
		}
		return "[" + b.String()[1:] + "]"
	}
	n := pick(r, []int{2, 1000, 1001, 10_000, 80_000})
	body := fmt.Sprintf(`{"symbols":%s,"objective":"min_volatility","groups":[%s{"name":"g","symbols":%s,"max":1}]}`,
		symbols(pick(r, []int{2, 1000, 1001})),
		strings.Repeat(`{"name":"h","symbols":["S0","S1"],"max":1},`, r.IntN(300)), symbols(n))
	a.send(ctx, r, "groups", http.MethodPost, "/v1/optimizations", a.write, body)
}

// query sends requests with malicious parameters, paths and methods.
func (a *attack) query(ctx context.Context, r *rand.Rand) {
	path := pick(r, []string{
		"/v1/portfolios", "/v1/operations", "/v1/symbols", "/v1/prices/AAPL", "/v1/returns/assets/AAPL/series",
		"/v1/returns/assets/AAPL/rolling",
		"/v1/correlations", "/v1/correlations/rolling", "/v1/optimizations", "/v1/audit", "/v1/tokens", "/v1/unknown",
		"//v1/tokens", "/v1/%74okens",
		"/v1/portfolios/..%2f", "/v1/symbols/%00", "/v1/symbols/" + strings.Repeat("A", r.IntN(3000)), "/metrics",
		"/readyz", "/v1/me", "/login",
	})
	name := pick(r, []string{"limit", "cursor", "window", "from", "to", "symbols", "method", "position", "q", "wait",
		"x"})
	value := pick(r, []string{
		"0", "-1", "9223372036854775808", "NaN", "Inf", "1e400", "%00", "%ff", "%25%5f", "'", "2024-02-30",
		strings.Repeat("9", r.IntN(4000)),
		strings.Repeat("A,", r.IntN(2000)), "kendall", "1&" + name + "=2",
	})
	method := pick(r, []string{"GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "PATCH", "TRACE", "DELETE"})
	a.send(ctx, r, "query", method, path+"?"+name+"="+value, pick(r, a.tokens), "")
}

// kendall requests an expensive computation, and usually disconnects before the answer.
func (a *attack) kendall(ctx context.Context, r *rand.Rand) {
	left, cancel := context.WithTimeout(ctx, time.Duration(1+r.IntN(300))*time.Millisecond)
	defer cancel()
	path := pick(r, []string{"/v1/correlations?method=kendall", "/v1/correlations?method=spearman",
		"/v1/correlations/rolling?method=kendall&window=60"})
	a.send(left, r, "kendall", http.MethodGet, path, a.tokens[0], "")
}
