package daemon

import (
	"net/http"
	"net/url"
	"strings"
)

// A fact is what a cached answer depends on: all portfolios, the prices of one symbol. Reads depend on facts, and
// events change them; the two tables of this file are all that the cache knows of stega. An answer whose path is not
// in the first is never taken from the cache while the server is there.
type fact string

// The facts.
const (
	portfolios fact = "portfolios"
	symbols    fact = "symbols"
	everything fact = "*"
)

func portfolio(id string) fact        { return fact("portfolio " + id) }
func prices(symbol string) fact       { return fact("prices " + symbol) }
func assetReturns(symbol string) fact { return fact("returns of asset " + symbol) }
func portfolioReturns(id string) fact { return fact("returns of portfolio " + id) }

// dependsOn are the facts behind a read; none when they are not known.
func dependsOn(path string, query url.Values) []fact {
	if query.Has("after") {
		return nil
	}
	parts := strings.Split(strings.TrimPrefix(path, "/v1/"), "/")
	if !strings.HasPrefix(path, "/v1/") || parts[len(parts)-1] == "" {
		return nil
	}
	switch {
	case path == "/v1/portfolios":
		return []fact{portfolios}
	case len(parts) == 2 && parts[0] == "portfolios":
		return []fact{portfolio(parts[1])}
	case path == "/v1/prices/providers": // settings of the server, of which no event tells
		return nil
	case path == "/v1/symbols":
		return []fact{symbols}
	case len(parts) == 2 && (parts[0] == "symbols" || parts[0] == "prices"):
		return []fact{prices(symbolOf(parts[1]))}
	case parts[0] == "returns" && (len(parts) == 3 || len(parts) == 4 && lookedAt(parts[3])):
		return append(returnsOf(parts[1], parts[2]), benchmark(query)...)
	}
	return nil
}

// lookedAt reports whether returns have a view of this name, which depends on nothing but what they do.
func lookedAt(view string) bool {
	switch view {
	case "series", "drawdowns", "table", "rolling":
		return true
	}
	return false
}

func returnsOf(kind, name string) []fact {
	switch kind {
	case "assets":
		return []fact{assetReturns(symbolOf(name))}
	case "portfolios":
		return []fact{portfolioReturns(name)}
	}
	return nil
}

// benchmark is what returns are compared with, whose own returns the answer then depends on.
func benchmark(query url.Values) []fact {
	if b := query.Get("benchmark"); b != "" {
		return []fact{assetReturns(symbolOf(b)), portfolioReturns(b)}
	}
	return nil
}

// symbolOf is a symbol as events write it.
func symbolOf(s string) string { return strings.ToUpper(s) }

// changes are the facts that an event changes. A view that follows the change only later, and then tells nobody, is
// vague from then on: an answer about it is always asked for.
func changes(topic, subject string) (changed, vague []fact) {
	service, name, _ := strings.Cut(topic, ".")
	switch {
	case topic == "portfolio.deleted":
		return []fact{portfolios, portfolio(subject)}, []fact{portfolioReturns(subject)}
	case service == "portfolio":
		return []fact{portfolios, portfolio(subject), portfolioReturns(subject)}, nil
	case topic == "marketdata.prices_imported":
		return []fact{symbols, prices(symbolOf(subject))}, nil
	case topic == "returns.asset_updated":
		return []fact{assetReturns(symbolOf(subject))}, nil
	case topic == "returns.portfolio_updated":
		return []fact{portfolioReturns(subject)}, nil
	case service == "marketdata", service == "returns", name == "replay_requested": // of a newer server, or a view that grows anew
		return []fact{everything}, nil
	}
	return nil, nil
}

// queueable reports whether a write may wait for the server: it must be an operation, which a repetition under the
// same id does not repeat.
func queueable(method, path string) bool {
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return false
	}
	kind, name, one := strings.Cut(rest, "/")
	switch method {
	case http.MethodPost:
		return !one && (kind == "portfolios" || kind == "prices" || kind == "optimizations" || kind == "schedules") || rest == "prices/pull"
	case http.MethodPut, http.MethodDelete:
		return one && (kind == "portfolios" || kind == "schedules") && name != "" && !strings.Contains(name, "/")
	}
	return false
}

// entityOf is the entity that a write changes, whose writes keep their order even when one of them is refused; empty
// when it makes a new one.
func entityOf(method, path string) string {
	if method == http.MethodPost {
		return ""
	}
	return path
}
