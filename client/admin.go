package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"stega/api"
	"stega/events"
	"stega/fault"
)

// Event is an event as it is shown.
type Event struct {
	events.Envelope
	Data json.RawMessage `json:"data"`
}

// LogEntry is one event of the log.
type LogEntry struct {
	Position uint64 `json:"position"`
	Event
}

// Log reads the log of events from a position, 0 for the oldest, nil for what comes from now on; without follow it
// ends when nothing more is there. Raw is the line that an entry is from.
func (c *Client) Log(ctx context.Context, from *uint64, follow bool) iter.Seq2[Answer[LogEntry], error] {
	q := url.Values{"follow": {strconv.FormatBool(follow)}}
	if from != nil {
		q.Set("from", strconv.FormatUint(*from, 10))
	}
	return func(yield func(Answer[LogEntry], error) bool) {
		var a Answer[LogEntry]
		answer, err := c.Do(ctx, Request{Method: http.MethodGet, Path: "/v1/events", Query: q})
		if err != nil {
			yield(a, err)
			return
		}
		defer func() { _ = answer.Body.Close() }()
		lines := bufio.NewReader(answer.Body)
		for {
			line, err := lines.ReadBytes('\n')
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return
			}
			if err != nil {
				yield(a, c.unanswered(ctx, err))
				return
			}
			a = Answer[LogEntry]{Raw: bytes.TrimSpace(line), Header: answer.Header}
			if err := json.Unmarshal(line, &a.Value); err != nil {
				yield(a, fmt.Errorf("read the log: %w", err))
				return
			}
			if !yield(a, nil) {
				return
			}
		}
	}
}

// Published is an event that was published by hand.
type Published struct {
	OperationID string `json:"operation_id"`
	Topic       string `json:"topic"`
	Subject     string `json:"subject"`
}

// Publish publishes an event by hand; the data are JSON.
func (c *Client) Publish(ctx context.Context, topic string, data []byte) (Answer[Published], error) {
	return call[Published](ctx, c, Request{
		Method: http.MethodPost, Path: "/v1/events/" + url.PathEscape(topic), ContentType: "application/json",
		Body: bytes.NewReader(data),
	})
}

// DeadLetters lists messages that could not be handled, of one service and in one state, when these are not empty.
func (c *Client) DeadLetters(
	ctx context.Context, limit int, service, state string,
) (Answer[api.List[api.DeadLetter]], error) {
	q := Page{Limit: limit}.query()
	set(q, "service", service)
	set(q, "state", state)
	return Get[api.List[api.DeadLetter]](ctx, c, "/v1/dead", q)
}

func letter(service string, id int64) string {
	return "/v1/dead/" + url.PathEscape(service) + "/" + strconv.FormatInt(id, 10)
}

// DeadLetter is one of them, with its data.
func (c *Client) DeadLetter(ctx context.Context, service string, id int64) (Answer[api.DeadLetter], error) {
	return Get[api.DeadLetter](ctx, c, letter(service, id), nil)
}

// RetryDeadLetter has one tried again with fresh attempts, and with other data when these are not nil.
func (c *Client) RetryDeadLetter(ctx context.Context, service string, id int64, data json.RawMessage) error {
	var body any
	if data != nil {
		body = api.RetryRequest{Data: data}
	}
	_, err := send[json.RawMessage](ctx, c, http.MethodPost, letter(service, id)+"/retry", body)
	return err
}

// DropDeadLetter removes one for good.
func (c *Client) DropDeadLetter(ctx context.Context, service string, id int64) error {
	_, err := send[json.RawMessage](ctx, c, http.MethodDelete, letter(service, id), nil)
	return err
}

// Token is an API token; Secret is there only in the answer that made it.
type Token struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Scope      string     `json:"scope"` // read, write, admin
	Secret     string     `json:"token,omitempty"`
	CreatedAt  time.Time  `json:"created_at,omitzero"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
	RevokedAt  *time.Time `json:"revoked_at,omitempty"`
}

// CreateToken makes a token; expiresIn is a duration such as 720h, or empty.
func (c *Client) CreateToken(ctx context.Context, name, scope, expiresIn string) (Answer[Token], error) {
	return send[Token](ctx, c, http.MethodPost, "/v1/tokens", struct {
		Name      string `json:"name"`
		Scope     string `json:"scope"`
		ExpiresIn string `json:"expires_in,omitempty"`
	}{name, scope, expiresIn})
}

// Tokens lists the tokens.
func (c *Client) Tokens(ctx context.Context, p Page) (Answer[api.List[Token]], error) {
	return Get[api.List[Token]](ctx, c, "/v1/tokens", p.query())
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	_, err := send[json.RawMessage](ctx, c, http.MethodDelete, "/v1/tokens/"+url.PathEscape(id), nil)
	return err
}

// AuditEntry says who wrote what.
type AuditEntry struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	TokenID   string    `json:"token_id,omitempty"`
	Who       string    `json:"who"`
	Remote    string    `json:"remote"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Command   string    `json:"command,omitempty"`
	Operation string    `json:"operation_id,omitempty"`
	Status    int       `json:"status"`
	Detail    Made      `json:"detail,omitzero"` // what the request made
	Requests  int64     `json:"requests,omitempty"`
}

// Made is what a request made: a token, or the session of a browser.
type Made struct {
	Name  string `json:"name,omitempty"`
	Scope string `json:"scope,omitempty"`
}

// Audit lists writes, the newest first, by a token and of an operation, when these are not empty.
func (c *Client) Audit(ctx context.Context, p Page, token, operation string) (Answer[api.List[AuditEntry]], error) {
	q := p.query()
	set(q, "token", token)
	set(q, "operation", operation)
	return Get[api.List[AuditEntry]](ctx, c, "/v1/audit", q)
}

// Health is whether the server is ready, or what is missing.
type Health struct {
	// ready, degraded (it takes requests, and something is wrong), or not ready
	Status   string            `json:"status"`
	Missing  map[string]string `json:"missing,omitempty"`
	Degraded map[string]string `json:"degraded,omitempty"`
}

// Ready reports whether the server could take requests.
func (h Health) Ready() bool { return h.Status == "ready" || h.Status == "degraded" }

// Lines lists what is wrong, as "part: what": first what makes the server unready, then what makes it degraded.
func (h Health) Lines() []string {
	var lines []string
	for _, parts := range []map[string]string{h.Missing, h.Degraded} {
		for _, name := range slices.Sorted(maps.Keys(parts)) {
			lines = append(lines, name+": "+parts[name])
		}
	}
	return lines
}

// Health asks whether the server is ready. That it is not is no error.
func (c *Client) Health(ctx context.Context) (a Answer[Health], err error) {
	answer, err := c.ask(ctx, Request{Method: http.MethodGet, Path: "/readyz"})
	if err != nil {
		return a, err
	}
	defer func() { _ = answer.Body.Close() }()
	a.Header = answer.Header
	if a.Raw, err = io.ReadAll(io.LimitReader(answer.Body, maxProblem)); err != nil {
		return a, c.unanswered(ctx, err)
	}
	if answer.Header.Get("Content-Type") == "application/problem+json" { // of the daemon, when the server is away
		answer.Body = io.NopCloser(bytes.NewReader(a.Raw))
		return a, problem(answer, c.options.URL)
	}
	if err := json.Unmarshal(a.Raw, &a.Value); err != nil || a.Value.Status == "" {
		return a, fault.Unavailable("answer_strange", "what answers at %s is not stega", c.options.URL).
			WithHint("say where it runs with --url or STEGA_URL")
	}
	return a, nil
}
