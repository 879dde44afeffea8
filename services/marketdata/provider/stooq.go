package provider

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"stega/civil"
	"stega/fault"
	"stega/services/marketdata/pricefile"
)

// StooqOptions are the settings of an HTTP API that serves CSV as Stooq does.
type StooqOptions struct {
	BaseURL string // where it is, such as https://host
	Key     string // never shown; empty: requests say none
	Market  string // of symbols that do not say theirs; us when empty
	Limits
	Now func() time.Time // the system's when nil
}

// Stooq is an HTTP API that serves a file for each symbol: GET /q/d/l/?s=aapl.us&i=d&d1=20240102&d2=20240131 returns
// Date, Open, High, Low, Close and Volume. Errors are texts in place of the file, with status 200. Closes are adjusted
// for splits and dividends as of the day of the answer.
type Stooq struct {
	market string
	web    *web
	now    func() time.Time
}

// NewStooq returns the provider of such an API.
func NewStooq(o StooqOptions) *Stooq {
	if o.Market == "" {
		o.Market = "us"
	}
	if o.PerSecond == 0 {
		o.PerSecond = 2
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	where := site{baseURL: o.BaseURL, key: o.Key, urlSetting: "STEGA_STOOQ_URL", keySetting: "STEGA_STOOQ_KEY"}
	return &Stooq{market: strings.ToLower(o.Market), web: newWeb(where, o.Limits), now: o.Now}
}

// Latest requests the bars of the last days.
func (s *Stooq) Latest(ctx context.Context, symbols []string) (map[string][]Bar, error) {
	return eachRecent(ctx, s, symbols)
}

// Recent requests the bars of the last days of a symbol.
func (s *Stooq) Recent(ctx context.Context, symbol string) ([]Bar, error) {
	from := s.today().AddDays(-recentDays)
	bars, err := s.file(ctx, symbol, &from)
	if errors.Is(err, errNoData) {
		return nil, nil
	}
	return bars, err
}

// History requests the bars of a symbol.
func (s *Stooq) History(ctx context.Context, symbol string, from *civil.Date) ([]Bar, error) {
	bars, err := s.file(ctx, symbol, from)
	if errors.Is(err, errNoData) && from != nil { // no data of the symbol, or of these days only
		if bars, err = s.file(ctx, symbol, nil); err == nil {
			bars = since(bars, *from)
		}
	}
	if errors.Is(err, errNoData) {
		return nil, noPrices(symbol, s.called(symbol))
	}
	return bars, err
}

// today returns a day that has begun in every time zone.
func (s *Stooq) today() civil.Date { return civil.FromTime(s.now().UTC()).AddDays(1) }

// called returns Stooq's name of a symbol: in lower case and with its market. Indices (^SPX) and rates have no market.
func (s *Stooq) called(symbol string) string {
	name := strings.ToLower(symbol)
	if strings.HasPrefix(name, "^") || strings.ContainsAny(name, "=/:&") {
		return name
	}
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i-1 >= 2 {
		return name
	}
	return strings.ReplaceAll(name, ".", "-") + "." + s.market
}

// file requests the file of a symbol.
func (s *Stooq) file(ctx context.Context, symbol string, from *civil.Date) ([]Bar, error) {
	query := url.Values{"s": {s.called(symbol)}, "i": {"d"}}
	if from != nil {
		query.Set("d1", compactDay(*from))
		query.Set("d2", compactDay(s.today()))
	}
	if s.web.key != "" {
		query.Set("apikey", s.web.key)
	}
	body, err := s.web.get(ctx, "/q/d/l/", query)
	if err != nil {
		return nil, err
	}
	bars, err := readStooq(ctx, symbol, body)
	switch {
	case errors.Is(err, errDenied):
		return nil, s.web.denied()
	case errors.Is(err, errThrottled):
		return nil, throttled()
	}
	return bars, err
}

func compactDay(d civil.Date) string { return strings.ReplaceAll(d.String(), "-", "") }

var (
	errNoData    = errors.New("the provider has no data")
	errDenied    = errors.New("the provider requires a key")
	errThrottled = errors.New("the provider's limit is reached")
)

// words lists the texts in place of a file; the Polish site has its own.
var words = []struct {
	begin string
	means error
}{
	{"no data", errNoData},
	{"brak danych", errNoData},
	{"exceeded the daily hits limit", errThrottled},
	{"przekroczony dzienny limit", errThrottled},
	{"get your apikey", errDenied},
	{"access denied", errDenied},
}

var (
	stooqHead  = []byte("Date,Open,High,Low,Close")
	polishHead = []byte("Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie")
)

// readStooq reads the file of a symbol, or the text in its place.
func readStooq(ctx context.Context, symbol string, body []byte) ([]Bar, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	start := strings.ToLower(string(body[:min(len(body), 200)]))
	for _, w := range words {
		if strings.HasPrefix(start, w.begin) {
			return nil, w.means
		}
	}
	if rest, polish := bytes.CutPrefix(body, polishHead); polish {
		body = append(append([]byte{}, stooqHead...), bytes.Replace(rest, []byte("Wolumen"), []byte("Volume"), 1)...)
	}
	if !bytes.HasPrefix(body, stooqHead) {
		return nil, strange("it begins with %.60q", body)
	}
	if !bytes.ContainsRune(body, '\n') {
		return nil, errNoData // only a header
	}
	spool, err := pricefile.Read(ctx, bytes.NewReader(body), pricefile.Options{Symbol: symbol, MaxBytes: maxAnswer + 1})
	if err != nil {
		if bad, ok := errors.AsType[*fault.Fault](err); ok {
			return nil, strange("%s", bad.Detail).With(bad.Errors...)
		}
		return nil, err
	}
	defer func() { _ = spool.Close() }()
	return spool.Bars(symbol, nil)
}

var _ Single = (*Stooq)(nil)
