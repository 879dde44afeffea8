package marketdata

import (
	"io"
	"net/http"
	"strings"

	"github.com/govalues/decimal"
	"github.com/labstack/echo/v4"

	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/rest"
	"stega/services/marketdata/pricefile"
)

// Routes adds the service's paths below /v1.
func (s *Service) Routes(v1 *echo.Group, port rest.Service) {
	v1.POST("/prices", func(c echo.Context) error { return s.post(c, port) })
	v1.POST("/prices/pull", func(c echo.Context) error { return s.pull(c, port) })
	v1.GET("/prices/providers", s.providers)
	v1.GET("/prices/:symbol", s.prices)
	v1.GET("/symbols", s.symbols)
	v1.GET("/symbols/:symbol", s.symbol)
	s.scheduleRoutes(v1, port)
}

// post reads a file of prices wholly, and imports it when there is nothing wrong with it.
func (s *Service) post(c echo.Context, port rest.Service) error {
	if err := rest.Known(c, "symbol", "date_format"); err != nil {
		return err
	}
	if err := rest.Media(c, "text/csv"); err != nil {
		return err
	}
	limit := s.options.MaxImportBytes
	if limit == 0 {
		limit = pricefile.DefaultMaxBytes
	}
	spool, err := pricefile.Read(c.Request().Context(), http.MaxBytesReader(c.Response(), c.Request().Body, limit), pricefile.Options{
		Symbol: c.QueryParam("symbol"), DateFormat: c.QueryParam("date_format"), MaxBytes: limit, TempDir: s.options.TempDir,
	})
	if err != nil {
		// A client that is still sending when its connection is closed may never see the answer.
		_, _ = io.CopyN(io.Discard, c.Request().Body, unread)
		return err
	}
	defer func() { _ = spool.Close() }()
	id := rest.EntityID(c)
	return rest.Write(c, port, ImportPrices{ID: id, prices: spool}, id, rest.Hash(c, []byte(spool.Digest())))
}

// unread is how much of a file is still taken after the fault in it is known.
const unread = 64 << 20

// maxPulled bounds the symbols of one pull.
const maxPulled = 10_000

func (s *Service) pull(c echo.Context, port rest.Service) error {
	var b struct {
		Kind     string   `json:"kind"`
		Symbols  []string `json:"symbols"`
		From     string   `json:"from"`
		Provider string   `json:"provider"`
	}
	hash, err := rest.Body(c, &b)
	if err != nil {
		return err
	}
	if err := CheckProvider(b.Provider); err != nil {
		return err
	}
	cmd := PullPrices{ID: rest.EntityID(c), Kind: b.Kind, Provider: b.Provider}
	f := fault.Invalid("pull_invalid", "prices cannot be pulled like that")
	wrong := func(pointer, detail string) {
		_ = f.With(fault.Item{Pointer: pointer, Detail: detail})
	}
	cmd.Symbols = checkPull(b.Kind, b.Symbols, wrong)
	if b.From != "" {
		day, err := civil.Parse(b.From)
		if err != nil {
			wrong("/from", err.Error())
		} else if b.Kind == Latest {
			wrong("/from", "is for a backfill")
		}
		cmd.From = &day
	}
	if len(f.Errors) > 0 {
		f.Detail = strings.TrimPrefix(f.Errors[0].Pointer, "/") + " " + f.Errors[0].Detail
		return f
	}
	return rest.Write(c, port, cmd, cmd.ID, hash)
}

// checkPull says what is wrong with a kind and symbols, and brings symbols into their usual form.
func checkPull(kind string, asked []string, wrong func(pointer, detail string)) (symbols []string) {
	if kind != Latest && kind != Backfill {
		wrong("/kind", "must be latest or backfill")
	}
	if len(asked) > maxPulled {
		wrong("/symbols", "are more than 10000")
		return nil
	}
	for _, text := range asked {
		symbol, err := events.Symbol(text)
		if err != nil {
			wrong("/symbols", err.Error())
			continue
		}
		symbols = append(symbols, symbol)
	}
	return symbols
}

// providers lists where prices can be pulled from.
func (s *Service) providers(c echo.Context) error {
	if err := rest.Known(c); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, rest.List{Items: s.sources})
}

// priceOf is a bar as it is answered.
type priceOf struct {
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

func answer(b *Bar) priceOf {
	p := priceOf{Date: b.Day, Close: b.Close}
	to := [...]**decimal.Decimal{&p.AdjClose, &p.Open, &p.High, &p.Low, &p.Volume, &p.Dividend, &p.Split}
	for i, v := range valuesOf(b) {
		if v.Valid {
			*to[i] = &v.Decimal
		}
	}
	return p
}

func (s *Service) prices(c echo.Context) error {
	if err := rest.Known(c, "from", "to", "adjusted"); err != nil {
		return err
	}
	w, err := rest.Windowed(c)
	if err != nil {
		return err
	}
	adjusted, err := rest.Flag(c, "adjusted")
	if err != nil {
		return err
	}
	symbol, _, err := s.find(c)
	if err != nil {
		return err
	}
	bars, err := s.bars(c.Request().Context(), symbol, w, adjusted)
	if err != nil {
		return err
	}
	prices := make([]priceOf, len(bars))
	for i := range bars {
		prices[i] = answer(&bars[i])
	}
	return c.JSON(http.StatusOK, struct {
		Symbol string    `json:"symbol"`
		Prices []priceOf `json:"prices"`
	}{symbol, prices})
}

// find is the symbol that a path names.
func (s *Service) find(c echo.Context) (string, Summary, error) {
	asked := c.Param("symbol")
	symbol, err := events.Symbol(asked)
	if err == nil {
		list, err := summaries(c.Request().Context(), s.db.Read(), 1, symbolQuery{only: symbol})
		if err != nil {
			return "", Summary{}, err
		}
		if len(list) == 1 {
			return symbol, list[0], nil
		}
	}
	return "", Summary{}, fault.NotFound("symbol_unknown", "there are no prices of %.40q", asked).
		WithHint("list what there is with: GET /v1/symbols")
}

func (s *Service) symbols(c echo.Context) error {
	if err := rest.Known(c, "limit", "cursor", "q", "prefix", "search"); err != nil {
		return err
	}
	page, err := rest.Paged(c)
	if err != nil {
		return err
	}
	// q is what prefix was called before it had a name.
	asked := symbolQuery{after: page.After, search: strings.ToUpper(c.QueryParam("search"))}
	for _, name := range []string{"q", "prefix"} {
		asked.prefixes = append(asked.prefixes, strings.ToUpper(c.QueryParam(name)))
	}
	list, err := summaries(c.Request().Context(), s.db.Read(), page.Limit+1, asked)
	if err != nil {
		return err
	}
	return rest.Pages(c, page, list, func(s Summary) string { return s.Symbol })
}

func (s *Service) symbol(c echo.Context) error {
	_, summary, err := s.find(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, summary)
}
