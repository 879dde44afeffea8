package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"

	"stega/fault"
	"stega/rest"
)

// maxList bounds the list of one service.
const maxList = 32 << 20

// letters is what all services have of dead letters. Who could not be asked is named: a short list must not look like
// a whole one.
type letters struct {
	Items       []json.RawMessage `json:"items"`
	Unavailable []string          `json:"unavailable,omitempty"`
}

// reply is the answer of one service.
type reply struct {
	status int
	header http.Header
	body   bytes.Buffer
	err    error
}

// dead asks all services for their dead letters, or the one that the query names, and answers one list.
func (g *Gateway) dead(w http.ResponseWriter, r *http.Request) {
	names := g.names
	if one := r.URL.Query().Get("service"); one != "" {
		if g.upstreams[one] == nil {
			rest.Refuse(w, r, fault.NotFound("service_unknown", "this stega runs no service %q", one))
			return
		}
		names = []string{one}
	}
	replies := make([]reply, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { g.ask(r, g.upstreams[name], &replies[i]) })
	}
	all.Wait()
	list := letters{Items: []json.RawMessage{}}
	var why error
	for i := range replies {
		answer := &replies[i]
		if answer.err == nil && answer.status >= http.StatusBadRequest &&
			answer.status < http.StatusInternalServerError {
			w.Header().Set("Content-Type", answer.header.Get("Content-Type"))
			w.WriteHeader(answer.status) // what is wrong with the question is wrong everywhere
			_, _ = w.Write(answer.body.Bytes())
			return
		}
		if err := list.add(answer); err != nil {
			list.Unavailable = append(list.Unavailable, names[i])
			why = err
		}
	}
	if len(names) > 0 && len(list.Unavailable) == len(names) {
		rest.Refuse(w, r, faultOf(r, names[0], why))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // one who has gone needs no answer
}

func (l *letters) add(answer *reply) error {
	if answer.err != nil {
		return answer.err
	}
	if answer.status != http.StatusOK {
		return fmt.Errorf("it answers %d", answer.status)
	}
	var one letters
	if err := json.Unmarshal(answer.body.Bytes(), &one); err != nil {
		return fmt.Errorf("its list cannot be read: %w", err)
	}
	l.Items = append(l.Items, one.Items...)
	return nil
}

// ask asks one service. Its name is in the query, since one process may run several.
func (g *Gateway) ask(r *http.Request, u *upstream, into *reply) {
	query := r.URL.Query()
	query.Set("service", u.Service)
	out := g.outgoing(r, []string{"v1", "dead"})
	out.Method, out.Body, out.ContentLength = http.MethodGet, http.NoBody, 0
	out.URL.RawQuery = query.Encode()
	out.RequestURI = out.URL.RequestURI()
	into.header = http.Header{}
	if u.Handler != nil {
		defer func() {
			if v := recover(); v != nil { // this goroutine has nobody else to catch it
				into.err = fmt.Errorf("panic: %v", v)
			}
		}()
		u.Handler.ServeHTTP(into, out)
		return
	}
	out.RequestURI = ""
	g.address(u, out)
	answer, err := u.RoundTrip(out)
	if err != nil {
		into.err = err
		return
	}
	defer func() { _ = answer.Body.Close() }()
	into.status, into.header = answer.StatusCode, answer.Header
	switch n, err := into.body.ReadFrom(io.LimitReader(answer.Body, maxList+1)); {
	case err != nil:
		into.err = fmt.Errorf("its list is not whole: %w", err)
	case n > maxList:
		into.err = fmt.Errorf("its list has more than %d bytes", maxList)
	}
}

// Header, Write and WriteHeader make a reply of what a handler in this process answers.
func (a *reply) Header() http.Header { return a.header }

func (a *reply) WriteHeader(status int) { a.status = status }

func (a *reply) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.body.Write(b)
}

var _ http.ResponseWriter = (*reply)(nil)
var _ http.RoundTripper = (*upstream)(nil)
