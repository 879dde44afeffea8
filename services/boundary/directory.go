package boundary

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
	"stega/services/boundary/gateway"
	"stega/store"
)

// directory finds operations in the services that run them: in the databases of this process, and over HTTP in other
// processes. A service has an operation a moment before the ledger does.
type directory struct {
	here    []*store.DB
	remotes []remote
}

// remote is a service that runs in other processes.
type remote struct {
	service string
	base    *url.URL
	secret  string
	client  *http.Client
}

// newDirectory returns the directory of the databases of this process and of services in other processes, which take
// the secret as a token.
func newDirectory(here []*store.DB, upstreams []gateway.Upstream, secret string) directory {
	d := directory{here: here}
	client := &http.Client{Timeout: 3 * time.Second}
	for _, u := range upstreams {
		if u.URL != nil {
			d.remotes = append(d.remotes, remote{u.Service, u.URL, secret, client})
		}
	}
	return d
}

// json requests a path and decodes the answer; a fault of the service is returned as the same fault.
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
		return fault.Unavailable("service_unavailable", "the service %s does not answer",
			r.service).WithHint("try again shortly").Because(err)
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

// lookup returns an operation; a fault of kind not found when no service has it.
func (d directory) lookup(ctx context.Context, id string) (store.Operation, error) {
	o, err := rest.Find(ctx, id, d.here...)
	if !missing(err) {
		return o, err
	}
	var away error
	for _, r := range d.remotes {
		var o store.Operation
		e := r.json(ctx, http.MethodGet, "/v1/operations/"+url.PathEscape(id), nil, &o)
		if e == nil {
			return o, nil
		}
		if !missing(e) {
			away = e
		}
	}
	if away != nil { // it may have the operation
		return store.Operation{}, away
	}
	return store.Operation{}, err
}

func missing(err error) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && f.Kind == fault.KindNotFound
}

// latest returns the latest operations of all services, from before the id in cursor.
func (d directory) latest(ctx context.Context, limit int, cursor string) (all []store.Operation, err error) {
	for _, db := range d.here {
		some, e := db.Operations(ctx, limit, cursor)
		all, err = append(all, some...), errors.Join(err, e)
	}
	for _, r := range d.remotes {
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

// cancel answers POST /v1/operations/{id}/cancel: it requests the end of an operation from the service that runs it.
func (d directory) cancel(c echo.Context) error {
	ctx, id := c.Request().Context(), strings.ToLower(c.Param("id"))
	if _, err := rest.Find(ctx, id, d.here...); err == nil {
		return rest.CancelIn(c, d.here...)
	}
	o, err := d.lookup(ctx, id)
	if err != nil {
		return err
	}
	for _, r := range d.remotes {
		if r.service != o.Service {
			continue
		}
		var answer json.RawMessage
		if err := r.json(ctx, http.MethodPost, "/v1/operations/"+url.PathEscape(id)+"/cancel", nil,
			&answer); err != nil {
			return err
		}
		c.Response().Header().Set(echo.HeaderLocation, "/v1/operations/"+id)
		return c.JSON(http.StatusAccepted, answer)
	}
	return fault.Unavailable("service_unavailable", "the service %s, which runs the operation, is not known here",
		o.Service)
}
