package portfolio

import (
	"database/sql"
	"errors"
	"net/http"
	"strings"

	"github.com/govalues/decimal"
	"github.com/labstack/echo/v4"

	"stega/events"
	"stega/fault"
	"stega/rest"
)

// body is what a client says of a portfolio.
type body struct {
	Name   string `json:"name"`
	Assets []struct {
		Symbol string `json:"symbol"`
		Weight weight `json:"weight"`
	} `json:"assets"`
}

func (b body) assets() []events.Asset {
	assets := make([]events.Asset, len(b.Assets))
	for i, a := range b.Assets {
		assets[i] = events.Asset{Symbol: a.Symbol, Weight: a.Weight.Decimal}
	}
	return assets
}

// weight is a decimal that is refused when it has more digits than are kept, and not rounded.
type weight struct{ decimal.Decimal }

func (w *weight) UnmarshalJSON(text []byte) error {
	mantissa, _, _ := strings.Cut(strings.ToLower(strings.Trim(string(text), `"+-`)), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+strings.TrimRight(fraction, "0"), "0")
	err := w.Decimal.UnmarshalJSON(text)
	if len(digits) > decimal.MaxPrec || err == nil && digits != "" && w.IsZero() {
		return fault.Invalid("weight_invalid", "%.40s has more than %d digits: write it as it is to be kept", text, decimal.MaxPrec)
	}
	return err
}

// Routes adds the service's paths below /v1.
func (s *Service) Routes(v1 *echo.Group, port rest.Service) {
	v1.POST("/portfolios", func(c echo.Context) error {
		var b body
		hash, err := rest.Body(c, &b)
		if err != nil {
			return err
		}
		assets := b.assets()
		name, err := check(b.Name, assets)
		if err != nil {
			return err
		}
		id := rest.EntityID(c)
		return rest.Write(c, port, Create{ID: id, Name: name, Assets: assets}, id, hash)
	})
	v1.PUT("/portfolios/:id", func(c echo.Context) error {
		var b body
		hash, err := rest.Body(c, &b)
		if err != nil {
			return err
		}
		assets := b.assets()
		name, err := check(b.Name, assets)
		if err != nil {
			return err
		}
		version, err := rest.IfMatch(c)
		if err != nil {
			return err
		}
		id := c.Param("id")
		return rest.Write(c, port, Update{ID: id, Version: version, Name: name, Assets: assets}, id, hash)
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
