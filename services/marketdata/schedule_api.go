package marketdata

import (
	"context"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"stega/bus"
	"stega/rest"
	"stega/store"
)

// scheduleRoutes adds the paths of schedules.
func (s *Service) scheduleRoutes(v1 *echo.Group, port rest.Service) {
	v1.GET("/schedules", s.listSchedules)
	v1.GET("/schedules/:id", s.getSchedule)
	v1.POST("/schedules", func(c echo.Context) error {
		p, hash, err := planned(c)
		if err != nil {
			return err
		}
		id := rest.EntityID(c)
		defer s.wake()
		return rest.Write(c, port, CreateSchedule{ID: id, plan: p}, id, hash)
	})
	v1.PUT("/schedules/:id", func(c echo.Context) error {
		p, hash, err := planned(c)
		if err != nil {
			return err
		}
		version, err := rest.IfMatch(c)
		if err != nil {
			return err
		}
		defer s.wake()
		return rest.Write(c, port, UpdateSchedule{ID: c.Param("id"), Version: version, plan: p}, c.Param("id"), hash)
	})
	v1.DELETE("/schedules/:id", func(c echo.Context) error {
		version, err := rest.IfMatch(c)
		if err != nil {
			return err
		}
		return rest.Write(c, port, DeleteSchedule{ID: c.Param("id"), Version: version}, c.Param("id"), rest.Hash(c, nil))
	})
	v1.POST("/schedules/:id/run", func(c echo.Context) error { return s.trigger(c, port) })
}

// planned reads what a client says of a schedule.
func planned(c echo.Context) (p plan, hash string, err error) {
	if hash, err = rest.Body(c, &p); err != nil {
		return p, hash, err
	}
	return p, hash, p.check()
}

// trigger runs a schedule now, whether or not it is enabled. The operation is that of the pull.
func (s *Service) trigger(c echo.Context, port rest.Service) error {
	if err := rest.Known(c); err != nil {
		return err
	}
	r, err := findSchedule(c.Request().Context(), s.db.Read(), c.Param("id"), false)
	if err != nil {
		return err
	}
	pull, err := r.pull()
	if err != nil {
		return err
	}
	return rest.Submit(c, port, bus.Submission{
		Command: pull, EntityID: r.ID, BodyHash: rest.Hash(c, nil),
		With: func(ctx context.Context, tx *store.Tx, operation string) error {
			return s.triggered(ctx, tx, r.ID, operation)
		},
	})
}

func (s *Service) listSchedules(c echo.Context) error {
	if err := rest.Known(c, "limit", "cursor", "name"); err != nil {
		return err
	}
	page, err := rest.Paged(c)
	if err != nil {
		return err
	}
	list, err := schedules(c.Request().Context(), s.db.Read(), page.Limit+1, page.After, c.QueryParam("name"))
	if err != nil {
		return err
	}
	return rest.Pages(c, page, list, func(s Schedule) string { return s.ID })
}

func (s *Service) getSchedule(c echo.Context) error {
	if err := rest.Known(c); err != nil {
		return err
	}
	r, err := findSchedule(c.Request().Context(), s.db.Read(), c.Param("id"), false)
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
