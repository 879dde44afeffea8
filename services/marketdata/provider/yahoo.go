package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"stega/civil"
)

// YahooOptions are the settings of an HTTP API that serves charts as Yahoo does.
type YahooOptions struct {
	BaseURL string // where it is, such as https://host
	Limits
	Now func() time.Time // the system's when nil
}

// Yahoo is an HTTP API that serves a chart for each symbol: GET
// /v8/finance/chart/AAPL?period1=&period2=&interval=1d&events=div|split returns columns as JSON. Its prices are divided
// by all later splits. Bars have the prices as traded, with each split on its day, so that stored and later bars are
// consistent.
type Yahoo struct {
	web *web
	now func() time.Time
}

// NewYahoo returns the provider of such an API.
func NewYahoo(o YahooOptions) *Yahoo {
	if o.PerSecond == 0 {
		o.PerSecond = 2
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Yahoo{web: newWeb(site{baseURL: o.BaseURL, urlSetting: "STEGA_YAHOO_URL"}, o.Limits), now: o.Now}
}

// yahooBegin is a time before the first bar of any symbol.
var yahooBegin = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)

// Latest requests the bars of the last days.
func (y *Yahoo) Latest(ctx context.Context, symbols []string) (map[string][]Bar, error) {
	return eachRecent(ctx, y, symbols)
}

// Recent requests the bars of the last days of a symbol.
func (y *Yahoo) Recent(ctx context.Context, symbol string) ([]Bar, error) {
	bars, err := y.chart(ctx, symbol, y.now().AddDate(0, 0, -recentDays))
	if unknown(err) {
		return nil, nil
	}
	withoutAdjusted(bars)
	return bars, err
}

// History requests the bars of a symbol. Only a whole history has adjusted closes: they change with each later
// dividend, so that those of different answers are inconsistent.
func (y *Yahoo) History(ctx context.Context, symbol string, from *civil.Date) ([]Bar, error) {
	if from == nil {
		return y.chart(ctx, symbol, yahooBegin)
	}
	bars, err := y.chart(ctx, symbol, from.Time().AddDate(0, 0, -1)) // for time zones east of Greenwich
	withoutAdjusted(bars)
	return since(bars, *from), err
}

func withoutAdjusted(bars []Bar) {
	for i := range bars {
		bars[i].AdjClose.Valid = false
	}
}

// called returns Yahoo's name of a symbol. Yahoo writes BRK.B as BRK-B, and none of its exchanges has one of these
// suffixes.
func (y *Yahoo) called(symbol string) string {
	for _, class := range []string{"A", "B", "C"} {
		if name, ok := strings.CutSuffix(symbol, "."+class); ok {
			return name + "-" + class
		}
	}
	return symbol
}

func (y *Yahoo) chart(ctx context.Context, symbol string, from time.Time) ([]Bar, error) {
	now := y.now()
	query := url.Values{
		"period1": {strconv.FormatInt(from.Unix(), 10)}, "period2": {strconv.FormatInt(now.Unix(), 10)},
		"interval": {"1d"}, "events": {"div,split"}, "includeAdjustedClose": {"true"},
	}
	path := "/v8/finance/chart/" + url.PathEscape(y.called(symbol))
	status, body, err := y.web.request(ctx, path, query)
	if err != nil {
		return nil, err
	}
	// Answers with these three statuses have a description of the error.
	if status != http.StatusOK && status != http.StatusNotFound && status != http.StatusBadRequest &&
		status != http.StatusUnprocessableEntity {
		return nil, y.web.refused(status, path)
	}
	bars, err := readChart(body, now)
	switch {
	case errors.Is(err, errUnknownSymbol):
		return nil, noPrices(symbol, y.called(symbol))
	case errors.Is(err, errNoData):
		return nil, nil
	case errors.Is(err, errDenied):
		return nil, y.web.denied()
	case err != nil && status != http.StatusOK && !json.Valid(body):
		return nil, y.web.refused(status, path)
	}
	return bars, err
}

var errUnknownSymbol = errors.New("the provider does not have the symbol")

var _ Single = (*Yahoo)(nil)
