package portfolio

import (
	"database/sql"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"stega/events"
	"stega/rest"
)

// body is what a client says of a portfolio.
type body struct {
	Name   string         `json:"name"`
	Assets []events.Asset `json:"assets"`
}

// Routes adds the service's paths below /v1.
func (s *Service) Routes(v1 *echo.Group, port rest.Service) {
	v1.POST("/portfolios", func(c echo.Context) error {
		var b body
		hash, err := rest.Body(c, &b)
		if err != nil {
			return err
		}
		name, err := check(b.Name, b.Assets)
		if err != nil {
			return err
		}
		id := events.NewID()
		return rest.Write(c, port, Create{ID: id, Name: name, Assets: b.Assets}, id, hash)
	})
	v1.PUT("/portfolios/:id", func(c echo.Context) error {
		var b body
		hash, err := rest.Body(c, &b)
		if err != nil {
			return err
		}
		name, err := check(b.Name, b.Assets)
		if err != nil {
			return err
		}
		version, err := rest.IfMatch(c)
		if err != nil {
			return err
		}
		id := c.Param("id")
		return rest.Write(c, port, Update{ID: id, Version: version, Name: name, Assets: b.Assets}, id, hash)
	})
	v1.DELETE("/portfolios/:id", func(c echo.Context) error {
		version, err := rest.IfMatch(c)
		if err != nil {
			return err
		}
		id := c.Param("id")
		return rest.Write(c, port, Delete{ID: id, Version: version}, id, rest.Hash(c, nil))
	})
	v1.GET("/portfolios", s.list)
	v1.GET("/portfolios/:id", s.get)
}

func (s *Service) list(c echo.Context) error {
	if err := rest.Known(c, "limit", "cursor", "name"); err != nil {
		return err
	}
	page, err := rest.Paged(c)
	if err != nil {
		return err
	}
	portfolios, err := list(c.Request().Context(), s.db.Read(), page.Limit+1, page.After, c.QueryParam("name"))
	if err != nil {
		return err
	}
	return rest.Pages(c, page, portfolios, func(p events.Portfolio) string { return p.ID })
}

func (s *Service) get(c echo.Context) error {
	var r row
	err := s.db.Read().NewSelect().Model(&r).Where("id = ?", c.Param("id")).Scan(c.Request().Context())
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
