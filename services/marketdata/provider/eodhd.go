package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/govalues/decimal"

	"stega/civil"
	"stega/events"
	"stega/fault"
)

// EODHDOptions are the settings of an end-of-day HTTP API.
type EODHDOptions struct {
	BaseURL   string  // where the API is, such as https://host/api
	Key       string  // never shown
	Exchange  string  // what symbols are listed on when they do not say; US when empty
	PerSecond float64 // requests a second; 10 when zero
	// Of one try, and how often a request that failed in passing is tried again; 20 s and 4 when zero.
	Timeout time.Duration
	Retries int
	// Waits between tries; 500 ms to 20 s when zero.
	MinWait, MaxWait time.Duration
}

// bulkSymbols is the number of symbols of one request for the latest prices.
const bulkSymbols = 100

// EODHD is an end-of-day HTTP API: GET /eod-bulk-last-day/{EXCHANGE} for the latest bars and GET
// /eod/{SYMBOL.EXCHANGE} for history, as JSON with date, open, high, low, close, adjusted_close and volume.
type EODHD struct {
	exchange string
	web      *web
}

// NewEODHD returns the provider of an API.
func NewEODHD(o EODHDOptions) *EODHD {
	if o.Exchange == "" {
		o.Exchange = "US"
	}
	if o.PerSecond == 0 {
		o.PerSecond = 10
	}
	limits := Limits{
		PerSecond: o.PerSecond, Timeout: o.Timeout, Retries: o.Retries, MinWait: o.MinWait, MaxWait: o.MaxWait,
	}
	where := site{baseURL: o.BaseURL, key: o.Key, urlSetting: "STEGA_EODHD_URL", keySetting: "STEGA_EODHD_KEY"}
	return &EODHD{exchange: o.Exchange, web: newWeb(where, limits)}
}

// quote is a bar in the JSON of the API.
type quote struct {
	Code     string      `json:"code"`
	Date     string      `json:"date"`
	Open     json.Number `json:"open"`
	High     json.Number `json:"high"`
	Low      json.Number `json:"low"`
	Close    json.Number `json:"close"`
	AdjClose json.Number `json:"adjusted_close"`
	Volume   json.Number `json:"volume"`
}

// Latest requests the bars of the last trading day.
func (e *EODHD) Latest(ctx context.Context, symbols []string) (map[string][]Bar, error) {
	exchanges := map[string][]string{}
	names := make(map[listing]string, len(symbols))
	for _, s := range symbols {
		code, exchange := e.listed(s)
		exchanges[exchange] = append(exchanges[exchange], code)
		if at := (listing{strings.ToUpper(code), exchange}); names[at] == "" {
			names[at] = s
		}
	}
	latest := map[string][]Bar{}
	for exchange, codes := range exchanges {
		for some := range slices.Chunk(codes, bulkSymbols) {
			var quotes []quote
			if err := e.get(
				ctx, "/eod-bulk-last-day/"+url.PathEscape(exchange), url.Values{"symbols": {strings.Join(some, ",")}},
				&quotes,
			); err != nil {
				return nil, err
			}
			for _, q := range quotes {
				symbol := names[listing{strings.ToUpper(q.Code), exchange}]
				if symbol == "" {
					continue // the API may return other symbols
				}
				bar, ok, err := q.bar(symbol)
				if err != nil {
					return nil, err
				}
				if ok {
					latest[symbol] = append(latest[symbol], bar)
				}
			}
		}
	}
	return latest, nil
}

// History requests the bars of a symbol.
func (e *EODHD) History(ctx context.Context, symbol string, from *civil.Date) ([]Bar, error) {
	code, exchange := e.listed(symbol)
	query := url.Values{"period": {"d"}, "order": {"a"}}
	if from != nil {
		query.Set("from", from.String())
	}
	var quotes []quote
	if err := e.get(ctx, "/eod/"+url.PathEscape(code+"."+exchange), query, &quotes); err != nil {
		if f, ok := errors.AsType[*fault.Fault](err); ok && f.Kind == fault.KindNotFound {
			return nil, fault.NotFound("symbol_unknown", "the provider has no prices of %s", symbol).
				WithHint("check the symbol, and its exchange as in %s.%s", symbol, exchange)
		}
		return nil, err
	}
	bars := make([]Bar, 0, len(quotes))
	for _, q := range quotes {
		bar, ok, err := q.bar(symbol)
		if err != nil {
			return nil, err
		}
		if ok {
			bars = append(bars, bar)
		}
	}
	return bars, nil
}

// listed returns a symbol's code and exchange: what follows the last point when it can be an exchange, else the
// exchange of the options.
func (e *EODHD) listed(symbol string) (code, exchange string) {
	if i := strings.LastIndexByte(symbol, '.'); i > 0 && len(symbol)-i-1 >= 2 {
		return symbol[:i], symbol[i+1:]
	}
	return strings.ReplaceAll(symbol, ".", "-"), e.exchange
}

// listing is a symbol in the API; the code is in upper case.
type listing struct{ code, exchange string }

// bar decodes a quote. ok is false when it has no close.
func (q quote) bar(symbol string) (b Bar, ok bool, err error) {
	broken := func(what string, err error) error {
		return fault.New(
			fault.KindInternal, "provider_answer_invalid", "the provider's %s of %s makes no sense", what, symbol,
		).Because(err)
	}
	if b.Day, err = civil.Parse(q.Date); err != nil {
		return b, false, broken("date", err)
	}
	if _, err := events.Symbol(symbol); err != nil {
		return b, false, broken("symbol", err)
	}
	var last decimal.NullDecimal
	for _, v := range []struct {
		name string
		from json.Number
		to   *decimal.NullDecimal
	}{
		{"close", q.Close, &last},
		{"adjusted close", q.AdjClose, &b.AdjClose},
		{"open", q.Open, &b.Open},
		{"high", q.High, &b.High},
		{"low", q.Low, &b.Low},
		{"volume", q.Volume, &b.Volume},
	} {
		if v.from == "" {
			continue
		}
		d, err := decimal.Parse(v.from.String())
		if err != nil || d.IsNeg() {
			return b, false, broken(v.name, errors.Join(err, fmt.Errorf("%q", v.from)))
		}
		if d.IsZero() && v.to != &b.Volume {
			continue
		}
		*v.to = decimal.NullDecimal{Decimal: d.Trim(0), Valid: true}
	}
	b.Close = last.Decimal
	return b, last.Valid, nil
}

// get requests a path and decodes the JSON of the answer.
func (e *EODHD) get(ctx context.Context, path string, query url.Values, into any) error {
	query.Set("fmt", "json")
	query.Set("api_token", e.web.key)
	body, err := e.web.get(ctx, path, query)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return strange("it is no list of bars").Because(err)
	}
	return nil
}
