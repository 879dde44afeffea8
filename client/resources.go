package client

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"stega/api"
	"stega/events"
)

// All walks through all pages of a list.
func All[T any](read func(p Page) (Answer[api.List[T]], error)) iter.Seq2[T, error] {
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
func (c *Client) Portfolios(ctx context.Context, p Page, name string) (Answer[api.List[events.Portfolio]], error) {
	q := p.query()
	set(q, "name", name)
	return Get[api.List[events.Portfolio]](ctx, c, "/v1/portfolios", q)
}

// Portfolio is one portfolio.
func (c *Client) Portfolio(ctx context.Context, id string) (Answer[events.Portfolio], error) {
	return Get[events.Portfolio](ctx, c, "/v1/portfolios/"+url.PathEscape(id), nil)
}

// Version is the entity tag of a version of a portfolio, for Command.IfMatch.
func Version(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// CreatePortfolio is the command that makes a portfolio.
func CreatePortfolio(name string, assets []events.Asset) Command {
	return Command{
		Method:      http.MethodPost,
		Path:        "/v1/portfolios",
		ContentType: "application/json",
		Body:        encode(api.NewPortfolioRequest(name, assets)),
	}
}

// UpdatePortfolio is the command that changes a portfolio.
func UpdatePortfolio(id, name string, assets []events.Asset) Command {
	return Command{
		Method:      http.MethodPut,
		Path:        "/v1/portfolios/" + url.PathEscape(id),
		ContentType: "application/json",
		Body:        encode(api.NewPortfolioRequest(name, assets)),
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

// Symbols lists the symbols that begin with some text and have another anywhere in them; both may be empty.
func (c *Client) Symbols(ctx context.Context, p Page, begin, search string) (Answer[api.List[api.Symbol]], error) {
	q := p.query()
	set(q, "prefix", begin)
	set(q, "search", search)
	return Get[api.List[api.Symbol]](ctx, c, "/v1/symbols", q)
}

// Symbol is one symbol.
func (c *Client) Symbol(ctx context.Context, symbol string) (Answer[api.Symbol], error) {
	return Get[api.Symbol](ctx, c, "/v1/symbols/"+url.PathEscape(symbol), nil)
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
func (c *Client) AdjustedPrices(ctx context.Context, symbol string, w Window) (Answer[api.SymbolPrices], error) {
	q := w.query()
	q.Set("adjusted", "true")
	return Get[api.SymbolPrices](ctx, c, "/v1/prices/"+url.PathEscape(symbol), q)
}

// Prices are the prices of a symbol in a window.
func (c *Client) Prices(ctx context.Context, symbol string, w Window) (Answer[api.SymbolPrices], error) {
	return Get[api.SymbolPrices](ctx, c, "/v1/prices/"+url.PathEscape(symbol), w.query())
}

// ImportPrices is the command that imports a CSV file. The symbol is that of a file that does not say it, the date
// format for dates that can be read in two ways; both may be empty. The query of the command takes what else a file may
// leave open: decimal, time_zone, form, returns and errors. A reader that can seek is sent again when the answer was
// lost.
func ImportPrices(file io.Reader, symbol, dateFormat string) Command {
	q := url.Values{}
	set(q, "symbol", symbol)
	set(q, "date_format", dateFormat)
	return Command{Method: http.MethodPost, Path: "/v1/prices", Query: q, ContentType: "text/csv", Stream: file}
}

// PullPrices is the command that has the server get prices from a provider.
func PullPrices(r api.PullRequest) Command {
	return Command{Method: http.MethodPost, Path: "/v1/prices/pull", ContentType: "application/json", Body: encode(r)}
}

// Providers lists where the server can get prices from.
func (c *Client) Providers(ctx context.Context) (Answer[api.List[api.Provider]], error) {
	return Get[api.List[api.Provider]](ctx, c, "/v1/prices/providers", nil)
}

// Rebuild is the command that grows the read views of a service anew.
func Rebuild(service string) Command {
	return Command{Method: http.MethodPost, Path: "/v1/rebuild/" + url.PathEscape(service)}
}
