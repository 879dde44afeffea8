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

	"stega/api"
	"stega/events"
	"stega/fault"
	"stega/rest"
	"stega/store"
)

// Routes returns the HTTP routes of the service.
func (s *Service) Routes(port rest.Service) []rest.Route {
	h := handler{s, port}
	return []rest.Route{
		{
			Name: "listOptimizations", Method: http.MethodGet, Path: "/v1/optimizations", Scope: rest.ScopeRead,
			Summary: "List optimizations, the newest first", Answer: api.List[Summary]{}, Handler: s.list,
			Query: rest.Paging(
				rest.Param{Name: "portfolio_id", About: "id of the portfolio that is optimized"},
				rest.Param{Name: "name", About: "name of the optimization"},
			),
		},
		{
			Name:    "runOptimization",
			Method:  http.MethodPost,
			Path:    "/v1/optimizations",
			Scope:   rest.ScopeWrite,
			Command: Run{}.Topic(),
			Summary: "Find optimal weights, in a job",
			Body:    Request{},
			Answer:  api.Accepted{},
			Handler: h.run,
		},
		{
			Name: "getOptimization", Method: http.MethodGet, Path: "/v1/optimizations/{id}", Scope: rest.ScopeRead,
			Summary: "Show an optimization with its result", Answer: Optimization{}, Handler: s.get,
		},
		{
			Name:    "deleteOptimization",
			Method:  http.MethodDelete,
			Path:    "/v1/optimizations/{id}",
			Scope:   rest.ScopeWrite,
			Command: Delete{}.Topic(),
			Summary: "Delete an optimization",
			Answer:  api.Accepted{},
			Handler: h.delete,
		},
		{
			Name:    "followOptimization",
			Method:  http.MethodPut,
			Path:    "/v1/optimizations/{id}/follow",
			Scope:   rest.ScopeWrite,
			Command: Follow{}.Topic(),
			Summary: "Run an optimization again whenever its inputs change, or no longer",
			Body:    FollowRequest{},
			Answer:  api.Accepted{},
			Handler: h.follow,
		},
		{
			Name:    "repeatOptimization",
			Method:  http.MethodPost,
			Path:    "/v1/optimizations/{id}/repeat",
			Scope:   rest.ScopeWrite,
			Command: Run{}.Topic(),
			Summary: "Run an optimization again on the data of its last run",
			Answer:  api.Accepted{},
			Handler: h.repeat,
		},
		{
			Name:    "allocateOptimization",
			Method:  http.MethodPost,
			Path:    "/v1/optimizations/{id}/allocation",
			Scope:   rest.ScopeRead,
			Summary: "Show the whole shares that an amount buys at the optimal weights",
			Body:    AllocationRequest{},
			Answer:  Allocation{},
			Handler: s.allocation,
		},
	}
}

// Rebuild returns the command that rebuilds the read views.
func (s *Service) Rebuild() events.Typed { return Rebuild{} }

// handler serves the routes that write.
type handler struct {
	s    *Service
	port rest.Service
}

func (h handler) run(c echo.Context) error {
	var r Request
	hash, err := rest.Body(c, &r)
	if err != nil {
		return err
	}
	return submit(c, h.port, r, hash)
}

// FollowRequest is the body of a request that lets an optimization follow its inputs, or ends that.
type FollowRequest struct {
	Follow *bool `json:"follow" jsonschema:"required"`
}

func (h handler) follow(c echo.Context) error {
	var b FollowRequest
	hash, err := rest.Body(c, &b)
	if err != nil {
		return err
	}
	if b.Follow == nil {
		return fault.Invalid("optimization_invalid", "follow is missing").
			With(fault.Item{Pointer: "/follow", Detail: "is missing: true or false"})
	}
	id := c.Param("id")
	return rest.Write(c, h.port, Follow{ID: id, Follow: *b.Follow}, id, hash)
}

func (h handler) delete(c echo.Context) error {
	id := c.Param("id")
	return rest.Write(c, h.port, Delete{ID: id}, id, rest.Hash(c, nil))
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

// repeat runs an optimization again on the days of its last run. Prices of these days may have been corrected since.
func (h handler) repeat(c echo.Context) error {
	r, err := find(c.Request().Context(), h.s.db.Read(), c.Param("id"))
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
	asked.Follow, asked.Name = false, "" // the name is the first one's
	if result, err := r.result(); err != nil {
		return err
	} else if result != nil && asked.To == nil {
		asked.To = &result.Data.AsOf
	}
	return submit(c, h.port, asked, rest.Hash(c, nil))
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
		ID:          r.ID,
		Name:        r.Name,
		Objective:   r.Objective,
		PortfolioID: r.PortfolioID,
		Follow:      r.Follow == 1,
		Status:      r.Status,
		Runs:        r.Runs,
		CreatedAt:   time.UnixMicro(r.CreatedAt).UTC(),
		UpdatedAt:   time.UnixMicro(r.UpdatedAt).UTC(),
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
		ID:          o.ID,
		Name:        o.Name,
		Objective:   o.Objective,
		PortfolioID: o.PortfolioID,
		Follow:      o.Follow,
		Status:      o.Status,
		CreatedAt:   o.CreatedAt,
		UpdatedAt:   o.UpdatedAt,
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
	page, err := rest.Paged(c)
	if err != nil {
		return err
	}
	ctx, portfolioID, name := c.Request().Context(), rest.Arg[string](c, "portfolio_id"), rest.Arg[string](c, "name")
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
	var a AllocationRequest
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
