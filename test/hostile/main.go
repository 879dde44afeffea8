// Command hostile attacks a server with the requests of a malicious client, and checks that a second client is
// answered meanwhile.
//
//	go run ./test/hostile -url http://127.0.0.1:8420 -token READ -good-token READ [-write-token WRITE]
//		-duration 10m [-seed N]
//
// It exits with 1 in three cases: a read of the second client is not answered with 200 within 5 s; a hostile request
// is answered with 500, or with 429 without Retry-After; or a hostile request is not answered within 30 s (without
// its body: a minute). It exits with 2 for wrong arguments.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	workers  = 16
	maxHeld  = 500             // most connections that are held open at a time
	patience = 5 * time.Second // limit for an answer to the second client
	every    = 200 * time.Millisecond
	bodyLess = time.Minute // limit for the answer to a request without its body, or for the end of its connection
)

// attack is the shared state of all workers.
type attack struct {
	base, host string
	tokens     []string // of hostile requests; an empty one means no token
	write      string   // the token of group lists
	client     *http.Client
	held       chan struct{}
	holding    sync.WaitGroup

	mu     sync.Mutex
	counts map[string]map[string]int // by kind and outcome
	faults []string
}

// count counts an outcome: a status, or what replaced an answer.
func (a *attack) count(kind, outcome string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.counts[kind] == nil {
		a.counts[kind] = map[string]int{}
	}
	a.counts[kind][outcome]++
}

// wrong records a failure of the server.
func (a *attack) wrong(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.faults) < 50 {
		a.faults = append(a.faults, fmt.Sprintf(format, args...))
	}
}

func main() {
	base := flag.String("url", "", "the server, such as http://127.0.0.1:8420")
	token := flag.String("token", "", "the read token of the hostile client")
	write := flag.String("write-token", "", "a write token of the hostile client, if it has one")
	good := flag.String("good-token", "", "the read token of the second client")
	duration := flag.Duration("duration", 10*time.Minute, "how long")
	seed := flag.Uint64("seed", rand.Uint64(), "repeats the random bodies")
	flag.Parse()
	u, err := url.Parse(*base)
	if err != nil || u.Scheme != "http" || u.Host == "" || *token == "" || *good == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "give -url (http), -token and -good-token")
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	a := &attack{
		base: strings.TrimSuffix(*base, "/"), host: u.Host, tokens: []string{*token, *token, *token, *token, "",
			"stega_x"}, write: *write,
		client: &http.Client{Timeout: 30 * time.Second}, held: make(chan struct{}, maxHeld),
		counts: map[string]map[string]int{},
	}
	if *write != "" {
		a.tokens = append(a.tokens, *write, *write, *write)
	}
	fmt.Printf("%s for %s, seed %d\n", a.base, *duration, *seed)
	if !a.run(ctx, *good, *duration, *seed) {
		os.Exit(1)
	}
}

// run attacks for a time, prints the results, and reports whether the server withstood it.
func (a *attack) run(ctx context.Context, good string, duration time.Duration, seed uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() { a.work(ctx, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	second := second{attack: a, token: good, client: &http.Client{Transport: &http.Transport{}}}
	all.Go(func() { second.read(ctx) })
	all.Wait()
	a.holding.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(a.counts)) {
		fmt.Printf("%-8s", kind)
		for _, outcome := range slices.Sorted(maps.Keys(a.counts[kind])) {
			fmt.Printf("  %s: %d", outcome, a.counts[kind][outcome])
		}
		fmt.Println()
	}
	second.report()
	for _, f := range a.faults {
		fmt.Fprintln(os.Stderr, "wrong:", f)
	}
	return len(a.faults) == 0
}

// work sends one hostile request after another.
func (a *attack) work(ctx context.Context, r *rand.Rand) {
	kinds := []func(context.Context, *rand.Rand){a.body, a.body, a.body, a.groups, a.query, a.kendall, a.slow, a.slow,
		a.socket, a.garbage, a.tail}
	_, path, _ := strings.Cut(posts[0], " ")
	// one from each worker at the same time
	a.send(context.WithoutCancel(ctx), r, "deep", http.MethodPost, path, a.tokens[0], deepest())
	for ctx.Err() == nil {
		kinds[r.IntN(len(kinds))](ctx, r)
	}
}

// send sends a request, reads its answer for a time, and counts it.
func (a *attack) send(ctx context.Context, r *rand.Rand, kind, method, path, token, body string) {
	q, err := http.NewRequestWithContext(ctx, method, a.base+path, strings.NewReader(body))
	if err != nil {
		a.count(kind, "not sent")
		return
	}
	q.Header.Set("Content-Type", "application/json")
	if path == "/v1/prices" && r.IntN(4) > 0 {
		q.Header.Set("Content-Type", "text/csv")
	}
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	started := time.Now()
	answer, err := a.client.Do(q)
	if err != nil {
		var late interface{ Timeout() bool }
		switch {
		case ctx.Err() != nil:
			a.count(kind, "left")
		case errors.As(err, &late) && late.Timeout():
			a.count(kind, "nothing in 30 s")
			a.wrong("%s %s was not answered in 30 s; body %.200q", method, path, body)
		default:
			a.count(kind, "cut")
		}
		return
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 400))
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	a.count(kind, answer.Status[:3])
	switch {
	case answer.StatusCode == http.StatusInternalServerError:
		a.wrong("%s %s answered 500 after %s: %s; body %.200q", method, path, time.Since(started), text, body)
	case answer.StatusCode == http.StatusTooManyRequests && answer.Header.Get("Retry-After") == "":
		a.wrong("%s %s answered 429 without Retry-After: %s", method, path, text)
	case answer.StatusCode == http.StatusTooManyRequests:
		rest(ctx, time.Duration(r.IntN(200))*time.Millisecond)
	}
}

// rest waits for a time, or until the attack ends.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// second is the client that must be answered.
type second struct {
	*attack
	token  string
	client *http.Client
	took   []time.Duration
	again  int // connections that closed without an answer
}

func (s *second) read(ctx context.Context) {
	for ctx.Err() == nil {
		for _, path := range []string{"/v1/portfolios", "/healthz"} {
			started := time.Now()
			err := s.get(path)
			s.took = append(s.took, time.Since(started))
			if err != nil {
				s.wrong("GET %s of the second client: %s after %s", path, err, time.Since(started))
			}
		}
		rest(ctx, every)
	}
}

// get reads a path, on a new connection if the server closed the old one to make room.
func (s *second) get(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
		if err != nil {
			return err
		}
		q.Header.Set("Authorization", "Bearer "+s.token)
		answer, err := s.client.Do(q)
		if err == nil {
			var text []byte
			text, err = io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: %s", answer.Status, text)
			}
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		s.again++
		rest(ctx, 20*time.Millisecond)
	}
}

func (s *second) report() {
	if len(s.took) == 0 {
		s.faults = append(s.faults, "the second client sent nothing")
		return
	}
	slices.Sort(s.took)
	fmt.Printf("second client: %d reads, p99 %s, worst %s, %d connections reopened\n", len(s.took),
		s.took[len(s.took)*99/100].Round(time.Millisecond), s.took[len(s.took)-1].Round(time.Millisecond), s.again)
}
