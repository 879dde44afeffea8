package rest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"stega/api"
	"stega/events"
	"stega/fault"
	"stega/store"
)

func letter(service string, m store.ParkedMessage, whole bool) api.DeadLetter {
	l := api.DeadLetter{
		Service:   service,
		ID:        m.ID,
		Handler:   m.Handler,
		State:     string(m.State),
		Topic:     m.Message.Type,
		Subject:   m.Message.Subject,
		MessageID: m.Message.ID,
		Operation: m.Message.Correlation,
		Attempts:  m.Attempts,
		Cause:     m.Cause,
		Error:     m.LastError,
		ParkedAt:  some(m.ParkedAt),
		DueAt:     some(m.DueAt),
		DiedAt:    some(m.DiedAt),
	}
	if whole {
		if l.Data = events.Arrays(m.Message.Type, m.Message.Data); !json.Valid(l.Data) {
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

// DeadLetters returns the routes of parked and dead messages over the databases of a process.
func DeadLetters(dbs ...*store.DB) []Route {
	d := deadLetters(dbs)
	return []Route{
		{
			Name: "listDeadLetters", Method: http.MethodGet, Path: "/v1/dead", Scope: ScopeAdmin, Service: "*",
			Summary: "List parked and dead messages, the oldest first",
			Query: []Param{
				{Name: "service", About: "service whose messages are listed; all when left out"},
				{Name: "state", About: "state of the messages", Values: parkedStates(), Code: "state_unknown"},
				{
					Name:    "limit",
					About:   "number of messages of each service",
					Type:    Integer,
					Default: defaultLimit,
					Min:     1,
					Max:     maxLimit,
					Code:    "limit_invalid",
				},
			},
			Answer: api.DeadList{}, Handler: d.list,
		},
		{
			Name:    "getDeadLetter",
			Method:  http.MethodGet,
			Path:    "/v1/dead/{service}/{id}",
			Scope:   ScopeAdmin,
			Service: "{service}",
			Summary: "Show one parked or dead message with its data",
			Answer:  api.DeadLetter{}, Handler: d.one(d.get),
		},
		{
			Name:         "retryDeadLetter",
			Method:       http.MethodPost,
			Path:         "/v1/dead/{service}/{id}/retry",
			Scope:        ScopeAdmin,
			Service:      "{service}",
			Command:      "dead.retry",
			Summary:      "Handle a message again, with other data if the body has some",
			Body:         api.RetryRequest{},
			BodyOptional: true,
			Status:       http.StatusNoContent,
			Handler:      d.one(d.retry),
		},
		{
			Name:    "dropDeadLetter",
			Method:  http.MethodDelete,
			Path:    "/v1/dead/{service}/{id}",
			Scope:   ScopeAdmin,
			Service: "{service}",
			Command: "dead.drop",
			Summary: "Delete a parked or dead message",
			Status:  http.StatusNoContent,
			Handler: d.one(d.drop),
		},
	}
}

func parkedStates() []string {
	return []string{string(store.Parked), string(store.Waiting), string(store.Leased), string(store.Suspect),
		string(store.Dead)}
}

// deadLetters serves the messages of some databases.
type deadLetters []*store.DB

func (d deadLetters) list(c echo.Context) error {
	letters := []api.DeadLetter{}
	for _, db := range d {
		if s := Arg[string](c, "service"); s != "" && s != db.Service() {
			continue
		}
		rows, err := db.DeadLetters(c.Request().Context(), Word[store.ParkedState](c, "state"), Arg[int](c, "limit"), 0)
		if err != nil {
			return err
		}
		for _, m := range slices.Backward(rows) { // oldest first, the order in which they are to be tried again
			letters = append(letters, letter(db.Service(), m, false))
		}
	}
	return c.JSON(http.StatusOK, api.DeadList{Items: letters})
}

// one returns the handler of one message.
func (d deadLetters) one(do func(c echo.Context, db *store.DB, id int64) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		id, err := strconv.ParseInt(c.Param("id"), 10, 64)
		if err != nil {
			return fault.NotFound("dead_letter_unknown", "%q is not the number of a dead letter", c.Param("id"))
		}
		for _, db := range d {
			if db.Service() == c.Param("service") {
				return do(c, db, id)
			}
		}
		return fault.NotFound("service_unknown", "this process has no service %q", c.Param("service"))
	}
}

func (d deadLetters) get(c echo.Context, db *store.DB, id int64) error {
	m, err := db.DeadLetter(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, letter(db.Service(), m, true))
}

func (d deadLetters) retry(c echo.Context, db *store.DB, id int64) error {
	var r api.RetryRequest
	if c.Request().ContentLength != 0 {
		if _, err := Body(c, &r); err != nil {
			return err
		}
	}
	if err := db.Revive(c.Request().Context(), id, r.Data); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (d deadLetters) drop(c echo.Context, db *store.DB, id int64) error {
	if err := db.Drop(c.Request().Context(), id); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
