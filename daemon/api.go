package daemon

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"stega/fault"
)

// Status describes a running daemon.
type Status struct {
	Owner
	Refused  int64          `json:"connections_refused"` // of other users
	InFlight int64          `json:"requests_in_flight"`
	Servers  []ServerStatus `json:"servers"`
}

// ServerStatus describes a server that a daemon serves.
type ServerStatus struct {
	URL    string `json:"url"`
	Folder string `json:"folder"`
	Link   Link   `json:"connection"`
	Queue  Depth  `json:"queue"`
	Cache  struct {
		Answers int   `json:"answers"`
		Bytes   int64 `json:"bytes"`
	} `json:"cache"`
}

// handler serves the paths of the daemon, and passes all others to a server.
func (d *Daemon) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(
		"GET /daemon/version",
		d.answer(func(w http.ResponseWriter, _ *http.Request) error { return reply(w, http.StatusOK, d.owner()) }),
	)
	mux.HandleFunc("GET /daemon/status", d.answer(d.status))
	mux.HandleFunc("GET /daemon/queue", d.answer(d.queued))
	mux.HandleFunc(
		"GET /daemon/queue/{id}",
		d.answer(d.one(func(w http.ResponseWriter, _ *http.Request, _ *upstream, it Item) error {
			return reply(w, http.StatusOK, it)
		})),
	)
	mux.HandleFunc("POST /daemon/queue/{id}/retry", d.answer(d.one(retry)))
	mux.HandleFunc("DELETE /daemon/queue/{id}", d.answer(d.one(drop)))
	mux.HandleFunc("POST /daemon/stop", d.answer(func(w http.ResponseWriter, _ *http.Request) error {
		err := reply(w, http.StatusAccepted, d.owner())
		d.stop(errStop)
		return err
	}))
	mux.HandleFunc("GET /v1/stream", d.answer(d.to((*upstream).stream)))
	mux.HandleFunc("GET /v1/operations/{id}", d.answer(d.to((*upstream).operation)))
	mux.HandleFunc("/daemon/", d.answer(func(http.ResponseWriter, *http.Request) error {
		return fault.NotFound("path_unknown", "the daemon has nothing at this path").
			WithHint("compare the versions: stega daemon status, stega version")
	}))
	mux.HandleFunc("/", d.answer(d.to(func(u *upstream, w http.ResponseWriter, r *http.Request) error {
		if reads(r.Method) {
			return u.read(w, r)
		}
		return u.write(w, r)
	})))
	return mux
}

// answer adds the headers of the daemon, and answers faults.
func (d *Daemon) answer(do func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d.requests.Add(1)
		defer d.requests.Add(-1)
		w.Header().Set("Stega-Version", d.o.Build.Version)
		w.Header().Set("Stega-Build", d.o.Build.ID)
		w.Header().Set("Stega-Built", d.o.Build.Built.UTC().Format(time.RFC3339Nano))
		if err := do(w, r); err != nil && r.Context().Err() == nil {
			problem(w, d, err)
		}
	}
}

// problem answers with a fault: RFC 9457, as servers do.
func problem(w http.ResponseWriter, d *Daemon, err error) {
	f := fault.Of(err)
	if f.Kind == fault.KindInternal {
		d.log.Error("a request failed", "error", err)
	}
	if f.Kind == fault.KindUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(f.Kind.Status())
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		*fault.Fault
	}{"about:blank", http.StatusText(f.Kind.Status()), f.Kind.Status(), f})
}

func reply(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return nil
}

// to finds the server of a request: the one that it names, or the current one.
func (d *Daemon) to(
	do func(u *upstream, w http.ResponseWriter, r *http.Request) error,
) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		server := r.Header.Get("Stega-Server")
		if server == "" {
			current, err := d.o.Servers.Current()
			if err != nil {
				return err
			}
			server = current.URL
		}
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !bearer && token != "" {
			return fault.New(fault.KindUnauthorized, "token_malformed", "the Authorization header has no bearer token").
				WithHint("send: Authorization: Bearer TOKEN")
		}
		u, err := d.upstream(server, token, r.Header.Get("Stega-Prove") == "true")
		if err != nil {
			return err
		}
		if d, err := u.queue.depth(r.Context()); err == nil && d.Failed > 0 {
			w.Header().Set("Stega-Refused", strconv.Itoa(d.Failed))
		}
		return do(u, w, r)
	}
}

func (d *Daemon) owner() Owner {
	return Owner{PID: os.Getpid(), Build: d.o.Build, Socket: d.socket.at(), Started: d.started}
}

func (d *Daemon) status(w http.ResponseWriter, r *http.Request) error {
	s := Status{Owner: d.owner(), Refused: d.socket.refused(), InFlight: d.requests.Load(), Servers: []ServerStatus{}}
	for _, u := range d.opened() {
		one := ServerStatus{URL: u.url, Folder: u.dir, Link: u.linkNow()}
		var err error
		if one.Queue, err = u.queue.depth(r.Context()); err != nil {
			return err
		}
		if u.answers != nil {
			if one.Cache.Answers, one.Cache.Bytes, err = u.answers.size(r.Context()); err != nil {
				return err
			}
		}
		s.Servers = append(s.Servers, one)
	}
	slices.SortFunc(s.Servers, func(a, b ServerStatus) int { return strings.Compare(a.URL, b.URL) })
	return reply(w, http.StatusOK, s)
}

// queued lists the queued writes, of one server or of all.
func (d *Daemon) queued(w http.ResponseWriter, r *http.Request) error {
	only := r.URL.Query().Get("server")
	if only != "" {
		var err error
		if only, err = normal(only); err != nil {
			return err
		}
	}
	items := []Item{}
	for _, u := range d.opened() {
		if only != "" && u.url != only {
			continue
		}
		some, err := u.queue.list(r.Context())
		if err != nil {
			return err
		}
		items = append(items, some...)
	}
	slices.SortStableFunc(items, func(a, b Item) int { return strings.Compare(a.Server, b.Server) })
	return reply(w, http.StatusOK, map[string]any{"items": items})
}

// one finds a queued write by its operation, or by a unique prefix of it.
func (d *Daemon) one(
	do func(w http.ResponseWriter, r *http.Request, u *upstream, it Item) error,
) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		id := strings.ToLower(r.PathValue("id"))
		var of *upstream
		var found []string
		for _, u := range d.opened() {
			items, err := u.queue.list(r.Context())
			if err != nil {
				return err
			}
			for _, it := range items {
				if it.Operation == id || len(id) >= 8 && strings.HasPrefix(it.Operation, id) {
					of, found = u, append(found, it.Operation)
				}
			}
		}
		switch len(found) {
		case 0:
			return fault.NotFound("queue_item_unknown", "there is no queued write %.64s", id).
				WithHint("see: stega queue list")
		case 1:
		default:
			return fault.Invalid("queue_item_ambiguous", "%d queued writes begin with %s", len(found), id).
				WithHint("give more of the id")
		}
		it, err := of.queue.get(r.Context(), found[0])
		if err != nil {
			return err
		}
		return do(w, r, of, it)
	}
}

func retry(w http.ResponseWriter, r *http.Request, u *upstream, it Item) error {
	id, err := u.queue.again(r.Context(), it, r.URL.Query().Get("any_version") == "true")
	if err != nil {
		return err
	}
	u.nudge()
	return reply(
		w, http.StatusAccepted, map[string]string{"operation_id": id, "instead_of": it.Operation, "status": Queued},
	)
}

func drop(w http.ResponseWriter, r *http.Request, u *upstream, it Item) error {
	if it.State == Sending || it.State == Accepted {
		return fault.Conflict("queue_item_sent", "the write %s is %s, so the server may have it already", it.Operation,
			it.State).
			WithHint("wait for its outcome")
	}
	if err := u.queue.remove(r.Context(), it); err != nil {
		return unkept("the change", err)
	}
	u.log.Info("a queued write was dropped", "operation", it.Operation)
	u.nudge() // others may have waited behind it
	w.WriteHeader(http.StatusNoContent)
	return nil
}
