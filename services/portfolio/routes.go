package portfolio

import (
	"database/sql"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"stega/api"
	"stega/events"
	"stega/rest"
	"stega/store"
)

// Routes returns the HTTP routes of the service.
func (s *Service) Routes(port rest.Service) []rest.Route {
	h := handler{s.db, port}
	return []rest.Route{
		{
			Name: "listPortfolios", Method: http.MethodGet, Path: "/v1/portfolios", Scope: rest.ScopeRead,
			Summary: "List portfolios", Query: rest.Paging(rest.Param{Name: "name", About: "name of the portfolio"}),
			Answer: api.List[events.Portfolio]{}, Handler: h.list,
		},
		{
			Name:    "createPortfolio",
			Method:  http.MethodPost,
			Path:    "/v1/portfolios",
			Scope:   rest.ScopeWrite,
			Command: Create{}.Topic(),
			Summary: "Create a portfolio",
			Body:    api.PortfolioRequest{},
			Answer:  api.Accepted{},
			Handler: h.create,
		},
		{
			Name: "getPortfolio", Method: http.MethodGet, Path: "/v1/portfolios/{id}", Scope: rest.ScopeRead,
			Summary: "Show a portfolio", Answer: events.Portfolio{}, Handler: h.get,
		},
		{
			Name:    "updatePortfolio",
			Method:  http.MethodPut,
			Path:    "/v1/portfolios/{id}",
			Scope:   rest.ScopeWrite,
			Command: Update{}.Topic(),
			Summary: "Replace the name and the assets of a portfolio",
			IfMatch: true,
			Body:    api.PortfolioRequest{},
			Answer:  api.Accepted{},
			Handler: h.update,
		},
		{
			Name:    "deletePortfolio",
			Method:  http.MethodDelete,
			Path:    "/v1/portfolios/{id}",
			Scope:   rest.ScopeWrite,
			Command: Delete{}.Topic(),
			Summary: "Delete a portfolio",
			IfMatch: true,
			Answer:  api.Accepted{},
			Handler: h.delete,
		},
	}
}

// handler serves the routes of the service.
type handler struct {
	db   *store.DB
	port rest.Service
}

// requested reads the body of a write and checks it.
func requested(c echo.Context) (name string, assets []events.Asset, hash string, err error) {
	var r api.PortfolioRequest
	if hash, err = rest.Body(c, &r); err != nil {
		return "", nil, "", err
	}
	assets = r.EventAssets()
	name, err = check(r.Name, assets)
	return name, assets, hash, err
}

func (h handler) create(c echo.Context) error {
	name, assets, hash, err := requested(c)
	if err != nil {
		return err
	}
	id := rest.EntityID(c)
	return rest.Write(c, h.port, Create{ID: id, Name: name, Assets: assets}, id, hash)
}

func (h handler) update(c echo.Context) error {
	name, assets, hash, err := requested(c)
	if err != nil {
		return err
	}
	version, err := rest.IfMatch(c)
	if err != nil {
		return err
	}
	id := c.Param("id")
	return rest.Write(c, h.port, Update{ID: id, Version: version, Name: name, Assets: assets}, id, hash)
}

func (h handler) delete(c echo.Context) error {
	version, err := rest.IfMatch(c)
	if err != nil {
		return err
	}
	id := c.Param("id")
	return rest.Write(c, h.port, Delete{ID: id, Version: version}, id, rest.Hash(c, nil))
}

func (h handler) list(c echo.Context) error {
	page, err := rest.Paged(c)
	if err != nil {
		return err
	}
	portfolios, err := list(c.Request().Context(), h.db.Read(), page.Limit+1, page.After, rest.Arg[string](c, "name"))
	if err != nil {
		return err
	}
	return rest.Pages(c, page, portfolios, func(p events.Portfolio) string { return p.ID })
}

func (h handler) get(c echo.Context) error {
	var r row
	err := h.db.Read().NewSelect().Model(&r).Where("id = ?", c.Param("id")).Scan(c.Request().Context())
	if errors.Is(err, sql.ErrNoRows) {
		return unknown(c.Param("id"))
	}
	if err != nil {
		return err
	}
	p, err := r.portfolio()
	if err != nil {
		return err
	}
	if rest.Unchanged(c, rest.Tag(p.Version)) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.JSON(http.StatusOK, p)
}
