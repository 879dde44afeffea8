package client

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/govalues/decimal"

	"stega/civil"
	"stega/events"
)

// All walks through all pages of a list.
func All[T any](read func(p Page) (Answer[List[T]], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		p := Page{Limit: 1000}
		for {
			a, err := read(p)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range a.Value.Items {
				if !yield(item, nil) {
					return
				}
			}
			if p.Cursor = a.Value.NextCursor; p.Cursor == "" {
				return
			}
		}
	}
}

// Portfolios lists portfolios; a name picks the one that is called so.
func (c *Client) Portfolios(ctx context.Context, p Page, name string) (Answer[List[events.Portfolio]], error) {
	q := p.query()
	set(q, "name", name)
	return Get[List[events.Portfolio]](ctx, c, "/v1/portfolios", q)
}

// Portfolio is one portfolio.
func (c *Client) Portfolio(ctx context.Context, id string) (Answer[events.Portfolio], error) {
	return Get[events.Portfolio](ctx, c, "/v1/portfolios/"+url.PathEscape(id), nil)
}

// Version is the entity tag of a version of a portfolio, for Command.IfMatch.
func Version(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// portfolio is the body of a write.
type portfolio struct {
	Name   string         `json:"name"`
	Assets []events.Asset `json:"assets"`
}

// CreatePortfolio is the command that makes a portfolio.
func CreatePortfolio(name string, assets []events.Asset) Command {
	return Command{
		Method:      http.MethodPost,
		Path:        "/v1/portfolios",
		ContentType: "application/json",
		Body:        encode(portfolio{name, assets}),
	}
}

// UpdatePortfolio is the command that changes a portfolio.
func UpdatePortfolio(id, name string, assets []events.Asset) Command {
	return Command{
		Method:      http.MethodPut,
		Path:        "/v1/portfolios/" + url.PathEscape(id),
		ContentType: "application/json",
		Body:        encode(portfolio{name, assets}),
	}
}

// DeletePortfolio is the command that removes a portfolio.
func DeletePortfolio(id string) Command {
	return Command{Method: http.MethodDelete, Path: "/v1/portfolios/" + url.PathEscape(id)}
}

// encode writes a body whose types can always be written.
func encode(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}

// Symbol says from when to when there are prices of a symbol.
type Symbol struct {
	Symbol string     `json:"symbol"`
	First  civil.Date `json:"first"`
	Last   civil.Date `json:"last"`
	Count  int        `json:"count"`
}

// Symbols lists the symbols that begin with some text and have another anywhere in them; both may be empty.
func (c *Client) Symbols(ctx context.Context, p Page, begin, search string) (Answer[List[Symbol]], error) {
	q := p.query()
	set(q, "prefix", begin)
	set(q, "search", search)
	return Get[List[Symbol]](ctx, c, "/v1/symbols", q)
}

// Symbol is one symbol.
func (c *Client) Symbol(ctx context.Context, symbol string) (Answer[Symbol], error) {
	return Get[Symbol](ctx, c, "/v1/symbols/"+url.PathEscape(symbol), nil)
}

// Bar is the prices of a day.
type Bar struct {
	Date     civil.Date       `json:"date"`
	Close    decimal.Decimal  `json:"close"`
	AdjClose *decimal.Decimal `json:"adj_close,omitempty"`
	Open     *decimal.Decimal `json:"open,omitempty"`
	High     *decimal.Decimal `json:"high,omitempty"`
	Low      *decimal.Decimal `json:"low,omitempty"`
	Volume   *decimal.Decimal `json:"volume,omitempty"`
	Dividend *decimal.Decimal `json:"dividend,omitempty"`
	Split    *decimal.Decimal `json:"split,omitempty"`
}

// Prices are the prices of a symbol.
type Prices struct {
	Symbol string `json:"symbol"`
	Prices []Bar  `json:"prices"`
}

// Window is a range of days as they are written, both inclusive; empty is open.
type Window struct {
	From, To string
	After    string // an operation: the read waits, for a short time, until all that follows from it is there
}

func (w Window) query() url.Values {
	q := url.Values{}
	set(q, "from", w.From)
	set(q, "to", w.To)
	set(q, "after", w.After)
	return q
}

// AdjustedPrices are Prices in which every bar has an adjusted close, computed of splits and dividends where the
// source gave none.
func (c *Client) AdjustedPrices(ctx context.Context, symbol string, w Window) (Answer[Prices], error) {
	q := w.query()
	q.Set("adjusted", "true")
	return Get[Prices](ctx, c, "/v1/prices/"+url.PathEscape(symbol), q)
}

// Prices are the prices of a symbol in a window.
func (c *Client) Prices(ctx context.Context, symbol string, w Window) (Answer[Prices], error) {
	return Get[Prices](ctx, c, "/v1/prices/"+url.PathEscape(symbol), w.query())
}

// ImportPrices is the command that imports a CSV file. The symbol is that of a file that does not say it, the date
// format for dates that can be read in two ways; both may be empty. A reader that can seek is sent again when the
// answer was lost.
func ImportPrices(file io.Reader, symbol, dateFormat string) Command {
	q := url.Values{}
	set(q, "symbol", symbol)
	set(q, "date_format", dateFormat)
	return Command{Method: http.MethodPost, Path: "/v1/prices", Query: q, ContentType: "text/csv", Stream: file}
}

// Pull is what prices are to be pulled.
type Pull struct {
	Kind     string   `json:"kind"` // latest or backfill
	Symbols  []string `json:"symbols,omitempty"`
	From     string   `json:"from,omitempty"`     // of a backfill
	Provider string   `json:"provider,omitempty"` // the server's default when empty
}

// PullPrices is the command that has the server get prices from a provider.
func PullPrices(p Pull) Command {
	return Command{Method: http.MethodPost, Path: "/v1/prices/pull", ContentType: "application/json", Body: encode(p)}
}

// Provider is where the server can get prices from.
type Provider struct {
	Name       string   `json:"name"`
	About      string   `json:"about"`
	Configured bool     `json:"configured"`
	Default    bool     `json:"default"`
	Settings   []string `json:"settings"` // of the server, that configure it
}

// Providers lists where the server can get prices from.
func (c *Client) Providers(ctx context.Context) (Answer[List[Provider]], error) {
	return Get[List[Provider]](ctx, c, "/v1/prices/providers", nil)
}

// Rebuild is the command that grows the read views of a service anew.
func Rebuild(service string) Command {
	return Command{Method: http.MethodPost, Path: "/v1/rebuild/" + url.PathEscape(service)}
}
