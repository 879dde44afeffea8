package optimization

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"stega/fault"
	"stega/rest"
	"stega/store"
)

// Routes adds the service's paths below /v1.
func (s *Service) Routes(v1 *echo.Group, port rest.Service) {
	v1.POST("/optimizations", func(c echo.Context) error {
		var r Request
		hash, err := rest.Body(c, &r)
		if err != nil {
			return err
		}
		return submit(c, port, r, hash)
	})
	v1.GET("/optimizations", s.list)
	v1.GET("/optimizations/:id", s.get)
	v1.POST("/optimizations/:id/repeat", func(c echo.Context) error { return s.repeat(c, port) })
	v1.POST("/optimizations/:id/allocation", s.allocation)
	v1.PUT("/optimizations/:id/follow", func(c echo.Context) error {
		var b struct {
			Follow *bool `json:"follow"`
		}
		hash, err := rest.Body(c, &b)
		if err != nil {
			return err
		}
		if b.Follow == nil {
			return fault.Invalid("optimization_invalid", "follow is missing").With(fault.Item{Pointer: "/follow", Detail: "is missing: true or false"})
		}
		id := c.Param("id")
		return rest.Write(c, port, Follow{ID: id, Follow: *b.Follow}, id, hash)
	})
	v1.DELETE("/optimizations/:id", func(c echo.Context) error {
		if err := rest.Known(c); err != nil {
			return err
		}
		id := c.Param("id")
		return rest.Write(c, port, Delete{ID: id}, id, rest.Hash(c, nil))
	})
	v1.POST("/rebuild/optimization", func(c echo.Context) error {
		if err := rest.Known(c); err != nil {
			return err
		}
		return rest.Write(c, port, Rebuild{}, s.Name(), rest.Hash(c, nil))
	})
}

// submit answers a request for an optimization. Its id is that of its operation, so that one that is under way, or
// failed, is found by it.
func submit(c echo.Context, port rest.Service, r Request, hash string) error {
	if err := check(&r); err != nil {
		return err
	}
	id := rest.EntityID(c)
	return rest.Write(c, port, Run{ID: id, Request: r}, id, hash)
}

// repeat makes an optimization once more, of the same days, as far as their prices were not corrected.
func (s *Service) repeat(c echo.Context, port rest.Service) error {
	if err := rest.Known(c); err != nil {
		return err
	}
	r, err := find(c.Request().Context(), s.db.Read(), c.Param("id"))
	if err != nil {
		return err
	}
	if r == nil {
		return unknown(c.Param("id"))
	}
	asked, err := r.request()
	if err != nil {
		return err
	}
	asked.Follow = false
	if result, err := r.result(); err != nil {
		return err
	} else if result != nil && asked.To == nil {
		asked.To = &result.Data.AsOf
	}
	return submit(c, port, asked, rest.Hash(c, nil))
}

// result is the answer of a row; nil while there is none.
func (r *row) result() (*Result, error) {
	if r.Answer == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	result := &Result{}
	if err := json.Unmarshal([]byte(r.Answer), result); err != nil {
		return nil, fmt.Errorf("read the answer of optimization %s: %w", r.ID, err)
	}
	return result, nil
}

// optimization is what is said of a row.
func (r *row) optimization() (Optimization, error) {
	o := Optimization{
		ID: r.ID, Name: r.Name, Objective: r.Objective, PortfolioID: r.PortfolioID, Follow: r.Follow == 1, Status: r.Status, Runs: r.Runs,
		CreatedAt: time.UnixMicro(r.CreatedAt).UTC(), UpdatedAt: time.UnixMicro(r.UpdatedAt).UTC(),
	}
	if r.Error != "" {
		o.Error = &fault.Fault{}
		if err := json.Unmarshal([]byte(r.Error), o.Error); err != nil {
			return o, fmt.Errorf("read why optimization %s failed: %w", r.ID, err)
		}
	}
	var err error
	o.Result, err = r.result()
	return o, err
}

// pending is what is said of an optimization of which there is only the operation.
func pending(op store.Operation) Optimization {
	o := Optimization{ID: op.ID, Status: op.Status, Error: op.Error, Progress: op.Progress, CreatedAt: op.AcceptedAt}
	if op.FinishedAt != nil {
		o.UpdatedAt = *op.FinishedAt
	}
	return o
}

// look finds an optimization, or the operation that is to become one.
func (s *Service) look(ctx context.Context, id string) (Optimization, error) {
	op, err := s.db.Operation(ctx, id) // first: one that is over has its row by then
	f, ok := errors.AsType[*fault.Fault](err)
	absent := ok && f.Kind == fault.KindNotFound
	if err != nil && !absent {
		return Optimization{}, err
	}
	r, err := find(ctx, s.db.Read(), id)
	switch {
	case err != nil:
		return Optimization{}, err
	case r != nil:
		return r.optimization()
	case !absent && op.Command == (Run{}).Topic() && op.Status != store.Succeeded: // else it was deleted
		return pending(op), nil
	}
	return Optimization{}, unknown(id)
}

func (s *Service) get(c echo.Context) error {
	if err := rest.Known(c); err != nil {
		return err
	}
	o, err := s.look(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	if rest.Unchanged(c, fmt.Sprintf(`"%d-%d-%t-%s"`, o.Runs, o.UpdatedAt.UnixMicro(), o.Follow, o.Status)) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.JSON(http.StatusOK, o)
}

// Summary is what a list says of an optimization.
type Summary struct {
	ID               string                `json:"id"`
	Name             string                `json:"name,omitempty"`
	Objective        string                `json:"objective,omitempty"`
	PortfolioID      string                `json:"portfolio_id,omitempty"`
	Follow           bool                  `json:"follow"`
	Status           store.OperationStatus `json:"status"`
	AnnualReturn     *float64              `json:"annual_return"`
	AnnualVolatility *float64              `json:"annual_volatility"`
	Sharpe           *float64              `json:"sharpe"`
	Turnover         *float64              `json:"turnover,omitempty"`
	CreatedAt        time.Time             `json:"created_at"`
	UpdatedAt        time.Time             `json:"updated_at,omitzero"`
}

func (o Optimization) summary() Summary {
	s := Summary{
		ID: o.ID, Name: o.Name, Objective: o.Objective, PortfolioID: o.PortfolioID, Follow: o.Follow, Status: o.Status, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt,
	}
	if r := o.Result; r != nil {
		s.AnnualReturn, s.AnnualVolatility, s.Sharpe = r.AnnualReturn, r.AnnualVolatility, r.Sharpe
		if r.Distance != nil {
			s.Turnover = &r.Distance.Turnover
		}
	}
	return s
}

// list lists optimizations, the newest first, those that are still to be made among them, unless those of a portfolio
// or a name are asked for.
func (s *Service) list(c echo.Context) error {
	if err := rest.Known(c, "limit", "cursor", "portfolio_id", "name"); err != nil {
		return err
	}
	page, err := rest.Paged(c)
	if err != nil {
		return err
	}
	ctx, portfolioID, name := c.Request().Context(), c.QueryParam("portfolio_id"), c.QueryParam("name")
	var waiting []Summary
	if portfolioID == "" && name == "" {
		if waiting, err = s.waiting(ctx, page); err != nil {
			return err
		}
	}
	rows, err := list(ctx, s.db.Read(), page.Limit+1, page.After, portfolioID, name)
	if err != nil {
		return err
	}
	var all []Summary
	for i := range rows {
		o, err := rows[i].optimization()
		if err != nil {
			return err
		}
		all = append(all, o.summary())
	}
	made := make(map[string]bool, len(all))
	for _, o := range all {
		made[o.ID] = true
	}
	for _, w := range waiting {
		if !made[w.ID] {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b Summary) int { return cmp.Compare(b.ID, a.ID) })
	return rest.Pages(c, page, all[:min(len(all), page.Limit+1)], func(o Summary) string { return o.ID })
}

// waiting are optimizations that are still to be made.
func (s *Service) waiting(ctx context.Context, page rest.Page) ([]Summary, error) {
	ops, err := s.db.OpenOperations(ctx, (Run{}).Topic(), page.Limit+1, page.After)
	if err != nil {
		return nil, err
	}
	out := make([]Summary, len(ops))
	for i, op := range ops {
		out[i] = pending(op).summary()
	}
	return out, nil
}

func (s *Service) allocation(c echo.Context) error {
	var a allocationRequest
	if err := rest.Known(c); err != nil {
		return err
	}
	if _, err := rest.Body(c, &a); err != nil {
		return err
	}
	if err := a.check(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	o, err := s.look(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	if o.Result == nil {
		return fault.Conflict("weights_missing", "optimization %s is %s and has no weights", o.ID, o.Status).
			WithHint("see why with: GET /v1/optimizations/%s", o.ID)
	}
	answer, err := allocate(ctx, s.db.Read(), o.ID, o.Result, a)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, answer)
}
