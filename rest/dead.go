package rest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"stega/fault"
	"stega/store"
)

// DeadLetter is a parked or dead message as it is shown.
type DeadLetter struct {
	Service   string            `json:"service"`
	ID        int64             `json:"id"`
	Handler   string            `json:"handler"`
	State     store.ParkedState `json:"state"`
	Topic     string            `json:"topic"`
	Subject   string            `json:"subject"`
	MessageID string            `json:"message_id"`
	Operation string            `json:"operation_id,omitempty"`
	Attempts  int               `json:"attempts"`
	Cause     string            `json:"cause"`
	Error     string            `json:"error"`
	ParkedAt  *time.Time        `json:"parked_at,omitempty"`
	DueAt     *time.Time        `json:"due_at,omitempty"`
	DiedAt    *time.Time        `json:"died_at,omitempty"`
	Data      json.RawMessage   `json:"data,omitempty"` // text, when it is not JSON; only of a single one
}

func letter(service string, m store.ParkedMessage, whole bool) DeadLetter {
	l := DeadLetter{
		Service: service, ID: m.ID, Handler: m.Handler, State: m.State, Topic: m.Message.Type, Subject: m.Message.Subject, MessageID: m.Message.ID,
		Operation: m.Message.Correlation, Attempts: m.Attempts, Cause: m.Cause, Error: m.LastError,
		ParkedAt: some(m.ParkedAt), DueAt: some(m.DueAt), DiedAt: some(m.DiedAt),
	}
	if whole {
		if l.Data = m.Message.Data; !json.Valid(l.Data) {
			l.Data, _ = json.Marshal(strings.ToValidUTF8(string(m.Message.Data), "\uFFFD"))
		}
	}
	return l
}

func some(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// DeadLetters adds the endpoints of parked and dead messages: GET /dead, and GET, DELETE and POST …/retry of
// /dead/{service}/{id}.
func DeadLetters(v1 *echo.Group, dbs ...*store.DB) {
	v1.GET("/dead", func(c echo.Context) error {
		if err := Known(c, "service", "state", "limit"); err != nil {
			return err
		}
		page, err := Paged(c)
		if err != nil {
			return err
		}
		state := store.ParkedState(c.QueryParam("state"))
		switch state {
		case "", store.Parked, store.Waiting, store.Leased, store.Suspect, store.Dead:
		default:
			return fault.Invalid("state_unknown", "there is no state %.64q", state).
				WithHint("the states are %s, %s, %s, %s, %s", store.Parked, store.Waiting, store.Leased, store.Suspect, store.Dead)
		}
		letters := []DeadLetter{}
		for _, db := range dbs {
			if s := c.QueryParam("service"); s != "" && s != db.Service() {
				continue
			}
			rows, err := db.DeadLetters(c.Request().Context(), state, page.Limit, 0)
			if err != nil {
				return err
			}
			for _, m := range slices.Backward(rows) { // oldest first, the order in which they are to be tried again
				letters = append(letters, letter(db.Service(), m, false))
			}
		}
		return c.JSON(http.StatusOK, List{Items: letters})
	})
	one := func(do func(c echo.Context, db *store.DB, id int64) error) echo.HandlerFunc {
		return func(c echo.Context) error {
			id, err := strconv.ParseInt(c.Param("id"), 10, 64)
			if err != nil {
				return fault.NotFound("dead_letter_unknown", "%q is not the number of a dead letter", c.Param("id"))
			}
			for _, db := range dbs {
				if db.Service() == c.Param("service") {
					return do(c, db, id)
				}
			}
			return fault.NotFound("service_unknown", "this process has no service %q", c.Param("service"))
		}
	}
	v1.GET("/dead/:service/:id", one(func(c echo.Context, db *store.DB, id int64) error {
		m, err := db.DeadLetter(c.Request().Context(), id)
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, letter(db.Service(), m, true))
	}))
	v1.POST("/dead/:service/:id/retry", one(func(c echo.Context, db *store.DB, id int64) error {
		var body struct {
			Data json.RawMessage `json:"data"`
		}
		if c.Request().ContentLength != 0 {
			if _, err := Body(c, &body); err != nil {
				return err
			}
		}
		if err := db.Revive(c.Request().Context(), id, body.Data); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	}))
	v1.DELETE("/dead/:service/:id", one(func(c echo.Context, db *store.DB, id int64) error {
		if err := db.Drop(c.Request().Context(), id); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	}))
}
