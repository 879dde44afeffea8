package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// hold runs do beside the workers, a limited number at a time.
func (a *attack) hold(ctx context.Context, do func()) {
	select {
	case a.held <- struct{}{}:
		a.holding.Go(func() {
			defer func() { <-a.held }()
			do()
		})
	case <-ctx.Done():
	case <-time.After(10 * time.Millisecond): // all are held: the worker continues
	}
}

// slow opens connections with incomplete requests and waits for the server; sometimes more at a time than it accepts.
func (a *attack) slow(ctx context.Context, r *rand.Rand) {
	n := 1
	if r.IntN(100) == 0 {
		n = 400
	}
	for range n {
		a.slowly(ctx, r)
	}
}

func (a *attack) slowly(ctx context.Context, r *rand.Rand) {
	method, path, _ := strings.Cut(pick(r, append(posts[:3:3], "POST /v1/prices", "GET /healthz",
		"GET /v1/portfolios", "POST /v1/tokens")), " ")
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, a.host)
	if token := pick(r, a.tokens); token != "" {
		head += "Authorization: Bearer " + token + "\r\n"
	}
	head += "Content-Type: application/json\r\n"
	kind, sent := "", ""
	switch r.IntN(6) {
	case 0:
		kind, sent = "length", head+fmt.Sprintf("Content-Length: %d\r\n\r\n", pick(r, []int{100, 100_000, 10_000_000}))
	case 1:
		kind, sent = "chunked", head+"Transfer-Encoding: chunked\r\n\r\n"+pick(r, []string{"", "5\r\n{\"a\"",
			"fffff\r\n{", "5\r\n"})
	case 2:
		kind, sent = "expect", head+"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n"
	case 3:
		kind, sent = "begun", head+"Content-Length: 1000\r\n\r\n{\"amount\":"
	case 4:
		kind, sent = "half", head[:r.IntN(len(head))]
	default:
		kind = "idle"
	}
	drip := kind == "begun" && r.IntN(2) == 0
	limit := bodyLess
	if kind == "idle" {
		limit = time.Duration(r.IntN(60)) * time.Second
	}
	a.hold(ctx, func() { a.wait(ctx, kind, sent, drip, limit) })
}

// wait sends the beginning of a request, and counts how the server ends it.
func (a *attack) wait(ctx context.Context, kind, sent string, drip bool, limit time.Duration) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", a.host)
	if err != nil {
		a.count(kind, "cut")
		return
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_ = conn.SetDeadline(time.Now().Add(limit))
	_, _ = io.WriteString(conn, sent)
	if drip {
		done := make(chan struct{})
		defer close(done)
		go func() {
			for tick := time.NewTicker(time.Second); ; {
				select {
				case <-done:
					tick.Stop()
					return
				case <-tick.C:
					_, _ = io.WriteString(conn, " ")
				}
			}
		}()
	}
	started := time.Now()
	read := bufio.NewReader(conn)
	answer, err := http.ReadResponse(read, nil)
	for err == nil && answer.StatusCode == http.StatusContinue {
		answer, err = http.ReadResponse(read, nil)
	}
	switch {
	case err == nil:
		_ = answer.Body.Close()
		a.count(kind, answer.Status[:3])
		if answer.StatusCode == http.StatusInternalServerError {
			a.wrong("a request of the kind %s answered 500", kind)
		}
	case ctx.Err() != nil:
		a.count(kind, "left")
	case time.Since(started) < limit:
		a.count(kind, "cut")
	case kind == "idle":
		a.count(kind, "left")
	default:
		a.count(kind, "held")
		a.wrong("a request of the kind %s was held for %s: %.300q", kind, limit, sent)
	}
}

// socket opens a WebSocket, subscribes to many patterns, sends garbage and tokens, and disconnects.
func (a *attack) socket(ctx context.Context, r *rand.Rand) {
	token, own := pick(r, a.tokens), r.Uint64()
	var messages []string
	for i := range 1 + r.IntN(160) {
		messages = append(messages, pick(r, []string{
			fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"w%x-%d.*","coalesce":true}}`, i+1, own, i),
			fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"*.w%x-%d.*"}}`, i+1, own, i),
			fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"w%x-%d.*"}}`, i+1, own, i),
		}))
	}
	switch r.IntN(6) {
	case 0:
		messages = append(messages, `{"id":1,"subscribe":{"channel":"#","from":`+strings.Repeat("9", r.IntN(30))+`}}`)
	case 1:
		messages = append(messages, odd(r))
	case 2:
		messages = append(messages, mutate(r, messages[0]))
	case 3:
		messages = slicesOf(1000, `{"id":1,"auth":{"token":"stega_x"}}`)
	case 4:
		messages = append(messages, slicesOf(400, `{"id":7,"ping":{}}`)...)
	default:
	}
	stay := time.Duration(r.IntN(15000)) * time.Millisecond
	a.hold(ctx, func() { a.subscribe(ctx, token, messages, stay) })
}

func slicesOf(n int, message string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = message
	}
	return all
}

func (a *attack) subscribe(ctx context.Context, token string, messages []string, stay time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, stay+5*time.Second)
	defer cancel()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	o := &websocket.DialOptions{HTTPHeader: header}
	ws, answer, err := websocket.Dial(ctx, "ws://"+a.host+"/v1/stream", o) //nolint:bodyclose // Dial closes it
	if err != nil {
		outcome := "cut"
		if answer != nil {
			outcome = answer.Status[:3]
		}
		a.count("socket", outcome)
		return
	}
	defer func() { _ = ws.CloseNow() }()
	left := time.AfterFunc(stay, func() { _ = ws.CloseNow() })
	defer left.Stop()
	go func() {
		for _, m := range messages {
			if ws.Write(ctx, websocket.MessageText, []byte(m)) != nil {
				return
			}
		}
	}()
	for {
		if _, _, err = ws.Read(ctx); err != nil {
			break
		}
	}
	if code := websocket.CloseStatus(err); code >= 0 {
		a.count("socket", strconv.Itoa(int(code)))
		return
	}
	a.count("socket", "left or cut")
}

// garbage upgrades a connection, and sends invalid frames.
func (a *attack) garbage(ctx context.Context, r *rand.Rand) {
	frames := pick(r, []string{
		"\x81\x05hello", "\xc1\x80\x00\x00\x00\x00", "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
		"\x82\x80\x00\x00\x00\x00",
		"\x89\xfe\x04\x00\x00\x00\x00\x00", "\x81\xfe\xff\xff\x00\x00\x00\x00" + strings.Repeat("a",
			65535), "\x00\x80\x00\x00\x00\x00", "\x88\x81\x00\x00\x00\x00\x01",
	})
	frames = mutate(r, strings.Repeat(frames, 1+r.IntN(50)))
	head := "GET /v1/stream HTTP/1.1\r\nHost: " + a.host +
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	if token := pick(r, a.tokens); token != "" {
		head += "Authorization: Bearer " + token + "\r\n"
	}
	a.hold(ctx, func() { a.wait(ctx, "garbage", head+"\r\n"+frames, false, bodyLess) })
}

// tail reads the log or the stream for a while, slowly or not at all, and disconnects.
func (a *attack) tail(ctx context.Context, r *rand.Rand) {
	path := pick(r, []string{"/v1/events", "/v1/events?from=0", "/v1/stream?channel=%23",
		"/v1/stream?channel=*.created&from=0", "/v1/stream"})
	token, stay, reads := pick(r, a.tokens), time.Duration(r.IntN(20000))*time.Millisecond, r.IntN(2) == 0
	a.hold(ctx, func() {
		ctx, cancel := context.WithTimeout(ctx, stay)
		defer cancel()
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
		if err != nil {
			return
		}
		q.Header.Set("Accept", "text/event-stream")
		q.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultTransport.RoundTrip(q)
		if err != nil {
			a.count("tail", "left or cut")
			return
		}
		a.count("tail", answer.Status[:3])
		if reads {
			_, _ = io.Copy(io.Discard, answer.Body)
		} else {
			<-ctx.Done()
		}
		_ = answer.Body.Close()
	})
}
