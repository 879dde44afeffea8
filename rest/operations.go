package rest

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"stega/fault"
	"stega/store"
)

// Operations adds GET /operations, GET /operations/{id} and POST /operations/{id}/cancel over the databases of a
// process.
func Operations(v1 *echo.Group, dbs ...*store.DB) {
	v1.GET("/operations", func(c echo.Context) error {
		if err := Known(c, "limit", "cursor"); err != nil {
			return err
		}
		page, err := Paged(c)
		if err != nil {
			return err
		}
		var all []store.Operation
		for _, db := range dbs {
			some, err := db.Operations(c.Request().Context(), page.Limit+1, page.After)
			if err != nil {
				return err
			}
			all = append(all, some...)
		}
		slices.SortFunc(all, func(a, b store.Operation) int { return cmp.Compare(b.ID, a.ID) })
		return Pages(c, page, all, func(o store.Operation) string { return o.ID })
	})
	v1.GET("/operations/:id", func(c echo.Context) error {
		o, err := Find(c.Request().Context(), c.Param("id"), dbs...)
		if err != nil {
			return err
		}
		p, err := Preferred(c.Request().Header)
		if err != nil {
			return err
		}
		if p.Wait > 0 && !o.Done() {
			for _, db := range dbs {
				if db.Service() == o.Service {
					if o, err = db.WaitOperation(deadline(c, p.Wait), o.ID); err != nil {
						return err
					}
				}
			}
		}
		return c.JSON(http.StatusOK, Ended{Operation: o})
	})
	v1.POST("/operations/:id/cancel", func(c echo.Context) error { return CancelIn(c, dbs...) })
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
		err := db.Do(c.Request().Context(), func(ctx context.Context, tx *store.Tx) error { return store.OperationsOf(tx).RequestCancel(ctx, o.ID) })
		if err != nil {
			return err
		}
	}
	c.Response().Header().Set(echo.HeaderLocation, "/v1/operations/"+o.ID)
	return c.JSON(http.StatusAccepted, map[string]string{"operation_id": o.ID})
}
