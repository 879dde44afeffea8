package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"stega/fault"
	"stega/rest"
	"stega/services/boundary/access"
	"stega/store"
)

// remote asks a service that runs in other processes for its operations.
type remote struct {
	service string
	base    *url.URL
	secret  string
	client  *http.Client
}

// remotes are the services that this process is the door of and does not run itself.
func (p *Process) remotes() []remote {
	client := &http.Client{Timeout: 3 * time.Second}
	var all []remote
	for _, u := range p.cfg.Elsewhere {
		if u.URL != nil {
			all = append(all, remote{u.Service, u.URL, p.cfg.Secret, client})
		}
	}
	return all
}

// json asks for a path and reads the answer; a fault of the service comes back as the same fault.
func (r remote) json(ctx context.Context, method, path string, query url.Values, into any) error {
	at := r.base.JoinPath(path)
	at.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, at.String(), nil)
	if err != nil {
		return err
	}
	if r.secret != "" {
		request.Header.Set("Authorization", "Bearer "+r.secret)
		request.Header.Set(access.CallerHeader, access.CallerOf(ctx))
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return fault.Unavailable("service_unavailable", "the service %s does not answer", r.service).WithHint("try again shortly").Because(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body := io.LimitReader(answer.Body, 8<<20)
	if answer.StatusCode < http.StatusBadRequest {
		if err := json.NewDecoder(body).Decode(into); err != nil {
			return fmt.Errorf("read the answer of %s: %w", r.service, err)
		}
		return nil
	}
	var f fault.Fault
	if err := json.NewDecoder(body).Decode(&f); err != nil || f.Kind == "" {
		return fault.Unavailable("service_unavailable", "the service %s answers %s", r.service, answer.Status)
	}
	if !f.Kind.Known() { // of a newer service
		f.Kind = fault.OfStatus(answer.StatusCode)
	}
	return &f
}

// lookup asks the services, here and elsewhere, for an operation.
func (p *Process) lookup(ctx context.Context, id string) (store.Operation, error) {
	o, err := rest.Find(ctx, id, p.databases()...)
	if !missing(err) {
		return o, err
	}
	var away error
	for _, r := range p.remotes() {
		var o store.Operation
		e := r.json(ctx, http.MethodGet, "/v1/operations/"+url.PathEscape(id), nil, &o)
		if e == nil {
			return o, nil
		}
		if !missing(e) {
			away = e
		}
	}
	if away != nil { // it may be the one that knows
		return store.Operation{}, away
	}
	return store.Operation{}, err
}

func missing(err error) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && f.Kind == fault.KindNotFound
}

// latest asks the services for their latest operations.
func (p *Process) latest(ctx context.Context, limit int, cursor string) (all []store.Operation, err error) {
	for _, db := range p.databases() {
		some, e := db.Operations(ctx, limit, cursor)
		all, err = append(all, some...), errors.Join(err, e)
	}
	for _, r := range p.remotes() {
		query := url.Values{"limit": {strconv.Itoa(limit)}}
		if cursor != "" {
			query.Set("cursor", rest.Cursor(cursor))
		}
		var page struct{ Items []store.Operation }
		e := r.json(ctx, http.MethodGet, "/v1/operations", query, &page)
		all, err = append(all, page.Items...), errors.Join(err, e)
	}
	return all, err
}

// cancel asks the service that runs an operation to end it.
func (p *Process) cancel(c echo.Context) error {
	ctx, id := c.Request().Context(), strings.ToLower(c.Param("id"))
	if _, err := rest.Find(ctx, id, p.databases()...); err == nil {
		return rest.CancelIn(c, p.databases()...)
	}
	o, err := p.lookup(ctx, id)
	if err != nil {
		return err
	}
	for _, r := range p.remotes() {
		if r.service != o.Service {
			continue
		}
		var answer json.RawMessage
		if err := r.json(ctx, http.MethodPost, "/v1/operations/"+url.PathEscape(id)+"/cancel", nil, &answer); err != nil {
			return err
		}
		c.Response().Header().Set(echo.HeaderLocation, "/v1/operations/"+id)
		return c.JSON(http.StatusAccepted, answer)
	}
	return fault.Unavailable("service_unavailable", "the service %s, which runs the operation, is not known here", o.Service)
}
