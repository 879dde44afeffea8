package marketdata

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/govalues/decimal"
	"github.com/labstack/echo/v4"

	"stega/api"
	"stega/bus"
	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/rest"
	"stega/services/marketdata/pricefile"
	"stega/store"
)

// Routes returns the HTTP routes of the service.
func (s *Service) Routes(port rest.Service) []rest.Route {
	h := handler{s, port}
	adjusted := rest.Param{
		Name:    "adjusted",
		About:   "adjust open, high, low and close for splits and dividends",
		Type:    rest.Boolean,
		Default: false,
	}
	return []rest.Route{
		{
			Name:    "importPrices",
			Method:  http.MethodPost,
			Path:    "/v1/prices",
			Scope:   rest.ScopeWrite,
			Command: ImportPrices{}.Topic(),
			Summary: "Import a file of prices, long or wide",
			Takes:   "text/csv",
			Large:   true,
			Query: []rest.Param{
				{Name: "symbol", About: "symbol of a file that names none"},
				{Name: "default_symbol", About: "symbol of a file that names none, which may be given for every file"},
				{Name: "date_format", About: "form of dates that could be read in two ways, such as DD/MM/YYYY"},
				{
					Name: "decimal", Values: []string{".", ","},
					About: "decimal mark of numbers that could be read in two ways",
				},
				{Name: "time_zone", About: "zone of the exchange, for times of UTC, such as America/New_York"},
				{Name: "form", About: "wide: each column is a symbol, whatever its name", Values: []string{"wide"}},
				{
					Name: "returns", Values: []string{pricefile.Either, pricefile.Ratios, pricefile.Percents},
					About: "the file has returns and no prices; true: in the unit that it shows",
				},
				{Name: "errors", About: "all: list 10,000 errors, in place of 20", Values: []string{"all"}},
			},
			Answer: api.Accepted{}, Handler: h.importPrices,
		},
		{
			Name:    "pullPrices",
			Method:  http.MethodPost,
			Path:    "/v1/prices/pull",
			Scope:   rest.ScopeWrite,
			Command: PullPrices{}.Topic(),
			Summary: "Pull prices from a provider, in a job",
			Body:    api.PullRequest{},
			Answer:  api.Accepted{},
			Handler: h.pull,
		},
		{
			Name: "listProviders", Method: http.MethodGet, Path: "/v1/prices/providers", Scope: rest.ScopeRead,
			Summary: "List the providers of prices", Answer: api.List[api.Provider]{}, Handler: h.providers,
		},
		{
			Name:    "getPrices",
			Method:  http.MethodGet,
			Path:    "/v1/prices/{symbol}",
			Scope:   rest.ScopeRead,
			Summary: "Show the prices of a symbol",
			Query:   rest.Windowing(adjusted),
			Answer:  api.SymbolPrices{},
			Handler: h.prices,
		},
		{
			Name: "listSymbols", Method: http.MethodGet, Path: "/v1/symbols", Scope: rest.ScopeRead,
			Summary: "List the symbols that have prices", Query: rest.Paging(
				rest.Param{Name: "prefix", About: "first characters of the symbols"},
				rest.Param{Name: "search", About: "characters anywhere in the symbols"},
				rest.Param{Name: "q", About: "former name of prefix"},
			),
			Answer: api.List[api.Symbol]{}, Handler: h.symbols,
		},
		{
			Name: "getSymbol", Method: http.MethodGet, Path: "/v1/symbols/{symbol}", Scope: rest.ScopeRead,
			Summary: "Show the extent of a symbol's prices", Answer: api.Symbol{}, Handler: h.symbol,
		},
		{
			Name: "listSchedules", Method: http.MethodGet, Path: "/v1/schedules", Scope: rest.ScopeRead,
			Summary: "List schedules", Query: rest.Paging(rest.Param{Name: "name", About: "name of the schedule"}),
			Answer: api.List[api.Schedule]{}, Handler: h.listSchedules,
		},
		{
			Name:    "createSchedule",
			Method:  http.MethodPost,
			Path:    "/v1/schedules",
			Scope:   rest.ScopeWrite,
			Command: CreateSchedule{}.Topic(),
			Summary: "Create a schedule that pulls prices",
			Body:    api.ScheduleRequest{},
			Answer:  api.Accepted{},
			Handler: h.createSchedule,
		},
		{
			Name: "getSchedule", Method: http.MethodGet, Path: "/v1/schedules/{id}", Scope: rest.ScopeRead,
			Summary: "Show a schedule", Answer: api.Schedule{}, Handler: h.getSchedule,
		},
		{
			Name:    "updateSchedule",
			Method:  http.MethodPut,
			Path:    "/v1/schedules/{id}",
			Scope:   rest.ScopeWrite,
			Command: UpdateSchedule{}.Topic(),
			Summary: "Replace a schedule",
			IfMatch: true,
			Body:    api.ScheduleRequest{},
			Answer:  api.Accepted{},
			Handler: h.updateSchedule,
		},
		{
			Name:    "deleteSchedule",
			Method:  http.MethodDelete,
			Path:    "/v1/schedules/{id}",
			Scope:   rest.ScopeWrite,
			Command: DeleteSchedule{}.Topic(),
			Summary: "Delete a schedule",
			IfMatch: true,
			Answer:  api.Accepted{},
			Handler: h.deleteSchedule,
		},
		{
			Name:    "runSchedule",
			Method:  http.MethodPost,
			Path:    "/v1/schedules/{id}/run",
			Scope:   rest.ScopeWrite,
			Command: PullPrices{}.Topic(),
			Summary: "Run a schedule now, whether or not it is enabled",
			Answer:  api.Accepted{},
			Handler: h.runSchedule,
		},
	}
}

// handler serves the routes of the service.
type handler struct {
	s    *Service
	port rest.Service
}

// importPrices reads a file of prices completely, and imports it when it has no fault.
func (h handler) importPrices(c echo.Context) error {
	if err := rest.Media(c, "text/csv"); err != nil {
		return err
	}
	limit := h.s.options.MaxImportBytes
	if limit == 0 {
		limit = pricefile.DefaultMaxBytes
	}
	options := fileOptions(c)
	options.MaxBytes, options.TempDir = limit, h.s.options.TempDir
	body := http.MaxBytesReader(c.Response(), c.Request().Body, limit)
	spool, err := pricefile.Read(c.Request().Context(), body, options)
	if err != nil {
		// A client that is still sending when its connection is closed may never see the answer.
		_, _ = io.CopyN(io.Discard, c.Request().Body, unread)
		return err
	}
	defer func() { _ = spool.Close() }()
	id := rest.EntityID(c)
	return rest.Write(c, h.port, ImportPrices{ID: id, prices: spool}, id, rest.Hash(c, []byte(spool.Digest())))
}

// fileOptions returns the options of a file from the parameters of a request.
func fileOptions(c echo.Context) pricefile.Options {
	return pricefile.Options{
		Symbol: rest.Arg[string](c, "symbol"), FallbackSymbol: rest.Arg[string](c, "default_symbol"),
		DateFormat: rest.Arg[string](c, "date_format"), Decimal: rest.Arg[string](c, "decimal"),
		TimeZone: rest.Arg[string](c, "time_zone"), Returns: rest.Arg[string](c, "returns"),
		Wide: rest.Arg[string](c, "form") == "wide", AllErrors: rest.Arg[string](c, "errors") == "all",
	}
}

// unread is how much of a file is still taken after the fault in it is known.
const unread = 64 << 20

// maxPulled bounds the symbols of one pull.
const maxPulled = 10_000

func (h handler) pull(c echo.Context) error {
	var b api.PullRequest
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
	return rest.Write(c, h.port, cmd, cmd.ID, hash)
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

func (h handler) providers(c echo.Context) error {
	list := api.List[api.Provider]{Items: make([]api.Provider, len(h.s.providers))}
	for i, p := range h.s.providers {
		list.Items[i] = p.Provider
	}
	return c.JSON(http.StatusOK, list)
}

func answer(b *Bar) api.Price {
	p := api.Price{Date: b.Day, Close: b.Close}
	to := [...]**decimal.Decimal{&p.AdjClose, &p.Open, &p.High, &p.Low, &p.Volume, &p.Dividend, &p.Split}
	for i, v := range valuesOf(b) {
		if v.Valid {
			*to[i] = &v.Decimal
		}
	}
	return p
}

func (h handler) prices(c echo.Context) error {
	w, err := rest.Windowed(c)
	if err != nil {
		return err
	}
	symbol, _, err := h.s.find(c)
	if err != nil {
		return err
	}
	bars, err := h.s.bars(c.Request().Context(), symbol, w, rest.Arg[bool](c, "adjusted"))
	if err != nil {
		return err
	}
	prices := make([]api.Price, len(bars))
	for i := range bars {
		prices[i] = answer(&bars[i])
	}
	return c.JSON(http.StatusOK, api.SymbolPrices{Symbol: symbol, Prices: prices})
}

// find is the symbol that a path names.
func (s *Service) find(c echo.Context) (string, api.Symbol, error) {
	asked := c.Param("symbol")
	symbol, err := events.Symbol(asked)
	if err == nil {
		list, err := summaries(c.Request().Context(), s.db.Read(), 1, symbolQuery{only: symbol})
		if err != nil {
			return "", api.Symbol{}, err
		}
		if len(list) == 1 {
			return symbol, list[0], nil
		}
	}
	return "", api.Symbol{}, fault.NotFound("symbol_unknown", "there are no prices of %.40q", asked).
		WithHint("list what there is with: GET /v1/symbols")
}

func (h handler) symbols(c echo.Context) error {
	page, err := rest.Paged(c)
	if err != nil {
		return err
	}
	query := symbolQuery{after: page.After, search: strings.ToUpper(rest.Arg[string](c, "search"))}
	for _, name := range []string{"q", "prefix"} {
		query.prefixes = append(query.prefixes, strings.ToUpper(rest.Arg[string](c, name)))
	}
	list, err := summaries(c.Request().Context(), h.s.db.Read(), page.Limit+1, query)
	if err != nil {
		return err
	}
	return rest.Pages(c, page, list, func(s api.Symbol) string { return s.Symbol })
}

func (h handler) symbol(c echo.Context) error {
	_, summary, err := h.s.find(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, summary)
}

// requestedSchedule reads the body of a write and checks it.
func requestedSchedule(c echo.Context) (r api.ScheduleRequest, hash string, err error) {
	if hash, err = rest.Body(c, &r); err != nil {
		return r, hash, err
	}
	return r, hash, checkSchedule(&r)
}

func (h handler) createSchedule(c echo.Context) error {
	r, hash, err := requestedSchedule(c)
	if err != nil {
		return err
	}
	id := rest.EntityID(c)
	defer h.s.wake()
	return rest.Write(c, h.port, CreateSchedule{ID: id, plan: r}, id, hash)
}

func (h handler) updateSchedule(c echo.Context) error {
	r, hash, err := requestedSchedule(c)
	if err != nil {
		return err
	}
	version, err := rest.IfMatch(c)
	if err != nil {
		return err
	}
	defer h.s.wake()
	id := c.Param("id")
	return rest.Write(c, h.port, UpdateSchedule{ID: id, Version: version, plan: r}, id, hash)
}

func (h handler) deleteSchedule(c echo.Context) error {
	version, err := rest.IfMatch(c)
	if err != nil {
		return err
	}
	id := c.Param("id")
	return rest.Write(c, h.port, DeleteSchedule{ID: id, Version: version}, id, rest.Hash(c, nil))
}

// runSchedule runs a schedule now. The operation is that of the pull.
func (h handler) runSchedule(c echo.Context) error {
	r, err := findSchedule(c.Request().Context(), h.s.db.Read(), c.Param("id"), false)
	if err != nil {
		return err
	}
	pull, err := r.pull()
	if err != nil {
		return err
	}
	return rest.Submit(c, h.port, bus.Submission{
		Command: pull, EntityID: r.ID, BodyHash: rest.Hash(c, nil),
		With: func(ctx context.Context, tx *store.Tx, operation string) error {
			return h.s.triggered(ctx, tx, r.ID, operation)
		},
	})
}

func (h handler) listSchedules(c echo.Context) error {
	page, err := rest.Paged(c)
	if err != nil {
		return err
	}
	list, err := schedules(c.Request().Context(), h.s.db.Read(), page.Limit+1, page.After, rest.Arg[string](c, "name"))
	if err != nil {
		return err
	}
	return rest.Pages(c, page, list, func(s api.Schedule) string { return s.ID })
}

func (h handler) getSchedule(c echo.Context) error {
	r, err := findSchedule(c.Request().Context(), h.s.db.Read(), c.Param("id"), false)
	if err != nil {
		return err
	}
	schedule, err := r.schedule()
	if err != nil {
		return err
	}
	tag := rest.Tag(schedule.Version)
	if r.LastAt != 0 { // a run changes the answer, and not the version that writes compare
		tag = fmt.Sprintf(`"%d-%d"`, r.Version, r.LastAt)
	}
	if rest.Unchanged(c, tag) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.JSON(http.StatusOK, schedule)
}
