package rest

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"stega/api"
	"stega/fault"
	"stega/store"
)

// Operations returns the routes of operations over the databases of a process.
func Operations(dbs ...*store.DB) []Route {
	o := operations(dbs)
	return []Route{
		{Method: http.MethodGet, Path: "/v1/operations", Scope: ScopeRead, Query: Paging(), Handler: o.list},
		{Method: http.MethodGet, Path: "/v1/operations/{id}", Scope: ScopeRead, Handler: o.get},
		{Method: http.MethodPost, Path: "/v1/operations/{id}/cancel", Scope: ScopeWrite,
			Handler: func(c echo.Context) error { return CancelIn(c, dbs...) }},
	}
}

// operations serves the operations of some databases.
type operations []*store.DB

func (o operations) list(c echo.Context) error {
	page, err := Paged(c)
	if err != nil {
		return err
	}
	var all []store.Operation
	for _, db := range o {
		some, err := db.Operations(c.Request().Context(), page.Limit+1, page.After)
		if err != nil {
			return err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b store.Operation) int { return cmp.Compare(b.ID, a.ID) })
	return Pages(c, page, all, func(o store.Operation) string { return o.ID })
}

func (o operations) get(c echo.Context) error {
	op, err := Find(c.Request().Context(), c.Param("id"), o...)
	if err != nil {
		return err
	}
	p, err := Preferred(c.Request().Header)
	if err != nil {
		return err
	}
	if p.Wait > 0 && !op.Done() {
		for _, db := range o {
			if db.Service() == op.Service {
				if op, err = db.WaitOperation(deadline(c, p.Wait), op.ID); err != nil {
					return err
				}
			}
		}
	}
	return c.JSON(http.StatusOK, Ended{Operation: op})
}

// Ended is an operation as a service tells it, which knows when its command has ended, and not what follows: that is
// the boundary's to know.
type Ended struct {
	store.Operation
	Settled bool `json:"settled"` // not yet, as far as is known here
}

// Find finds an operation in one of several databases.
func Find(ctx context.Context, id string, dbs ...*store.DB) (store.Operation, error) {
	id = strings.ToLower(id)
	err := error(fault.NotFound("operation_unknown", "there is no operation %.64s", id))
	for _, db := range dbs {
		var o store.Operation
		if o, err = db.Operation(ctx, id); err == nil {
			return o, nil
		}
		if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Kind != fault.KindNotFound {
			return o, err
		}
	}
	return store.Operation{}, err
}

// CancelIn answers POST /operations/{id}/cancel over the databases of a process.
func CancelIn(c echo.Context, dbs ...*store.DB) error {
	o, err := Find(c.Request().Context(), c.Param("id"), dbs...)
	if err != nil {
		return err
	}
	for _, db := range dbs {
		if db.Service() != o.Service {
			continue
		}
		err := db.Do(c.Request().Context(), func(ctx context.Context, tx *store.Tx) error {
			return store.OperationsOf(tx).
				RequestCancel(ctx, o.ID)
		})
		if err != nil {
			return err
		}
	}
	c.Response().Header().Set(echo.HeaderLocation, "/v1/operations/"+o.ID)
	return c.JSON(http.StatusAccepted, api.Cancelled{OperationID: o.ID})
}
