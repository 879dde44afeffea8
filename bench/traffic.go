package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"stega/civil"
	"stega/events"
	"stega/process"
)

// client sends requests to the process.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// watch calls seen for each event of a topic that is published from now on, until stop.
func watch(ctx context.Context, p *environment, topic string,
	seen func(line process.LogLine)) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/v1/events", nil)
	if err != nil {
		cancel()
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+p.token)
	answer, err := client.Do(request)
	if err != nil {
		cancel()
		return nil, err
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer func() { _ = answer.Body.Close() }()
		lines := bufio.NewReaderSize(answer.Body, 1<<20)
		needle := fmt.Sprintf(`"type":%q`, topic)
		for {
			text, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if !strings.Contains(text[:min(len(text), 400)], needle) {
				continue
			}
			var line process.LogLine
			if json.Unmarshal([]byte(text), &line) == nil {
				seen(line)
			}
		}
	})
	return func() { cancel(); reading.Wait() }, nil
}

// tracker records when each portfolio was requested, and when its read view was committed.
type tracker struct {
	mu        sync.Mutex
	requested map[string]time.Time
	early     map[string]time.Time // committed before the answer came
	took      []time.Duration
	last      time.Time
	left      int
	done      chan struct{}
}

func (k *tracker) answered(id string, requested time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if at, ok := k.early[id]; ok {
		k.visible(requested, at)
		return
	}
	k.requested[id] = requested
}

func (k *tracker) committed(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if requested, ok := k.requested[id]; ok {
		delete(k.requested, id)
		k.visible(requested, now)
		return
	}
	k.early[id] = now
}

func (k *tracker) visible(requested, at time.Time) {
	k.took = append(k.took, at.Sub(requested))
	k.last = at
	if k.left--; k.left == 0 {
		close(k.done)
	}
}

// settleTimeout limits the time from the last answer to the last read view.
const settleTimeout = 2 * time.Minute

func commands(ctx context.Context, p *environment) (r Commands, err error) {
	r.Commands, r.Clients = p.Commands, p.Clients
	if _, _, _, err = burst(ctx, p, min(p.Commands, 200), 0); err != nil { // to warm up
		return r, err
	}
	var answered, visible time.Duration
	if answered, visible, r.Loaded, err = burst(ctx, p, p.Commands, 0); err != nil {
		return r, err
	}
	r.Rate, r.ViewRate = rate(p.Commands, answered), rate(p.Commands, visible)
	paced := r.ViewRate / 4
	_, _, r.Paced, err = burst(ctx, p, min(p.Commands, int(paced*5)+1), paced)
	return r, err
}

// burst creates n portfolios, as fast as the clients can or at a number per second, and blocks until all are visible.
func burst(ctx context.Context, p *environment, n int,
	pace float64) (answered, visible time.Duration, paths Paths, err error) {
	k := &tracker{requested: map[string]time.Time{}, early: map[string]time.Time{}, left: n, done: make(chan struct{})}
	stop, err := watch(ctx, p, events.PortfolioReturnsUpdated{}.Topic(),
		func(line process.LogLine) { k.committed(line.Subject) })
	if err != nil {
		return 0, 0, paths, err
	}
	defer stop()
	began := time.Now()
	turns := make(chan time.Time)
	go func() {
		defer close(turns)
		for i := range n {
			at := time.Now()
			if pace > 0 {
				at = began.Add(time.Duration(float64(i) / pace * float64(time.Second)))
				time.Sleep(time.Until(at))
			}
			select {
			case turns <- at:
			case <-ctx.Done():
				return
			}
		}
	}()
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var clients sync.WaitGroup
	for range p.Clients {
		clients.Go(func() {
			for at := range turns {
				requested := time.Now()
				if pace > 0 {
					requested = at // the wait for a free client counts
				}
				id, err := create(ctx, p)
				mu.Lock()
				took = append(took, time.Since(requested))
				if err != nil {
					failed = errors.Join(failed, err)
				}
				mu.Unlock()
				k.answered(id, requested)
			}
		})
	}
	clients.Wait()
	answered = time.Since(began)
	if failed != nil {
		return 0, 0, paths, failed
	}
	select {
	case <-k.done:
	case <-time.After(settleTimeout):
		return 0, 0, paths, errors.New("not all portfolios became visible in time")
	case <-ctx.Done():
		return 0, 0, paths, ctx.Err()
	}
	return answered, k.last.Sub(began), Paths{Answer: latency(took), View: latency(k.took)}, nil
}

func create(ctx context.Context, p *environment) (id string, err error) {
	body := fmt.Sprintf(`{"name":%q,"assets":[{"symbol":"AAPL","weight":"0.6"},{"symbol":"MA","weight":"0.4"}]}`,
		events.NewID())
	return write(ctx, p, "/v1/portfolios", "application/json", strings.NewReader(body))
}

// write sends a write and returns the id of the answer.
func write(ctx context.Context, p *environment, path, contentType string, body io.Reader) (id string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path, body)
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", "Bearer "+p.token)
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("%s answers %d: %s", path, answer.StatusCode, b)
	}
	var accepted struct{ ID string }
	err = json.Unmarshal(b, &accepted)
	return accepted.ID, err
}

func imports(ctx context.Context, p *environment) (r Import, err error) {
	r.Prices = p.Symbols * p.Days
	done := make(chan struct{})
	complete := 0
	stop, err := watch(ctx, p, events.AssetUpdated{}.Topic(), func(line process.LogLine) {
		var e events.AssetUpdated
		if json.Unmarshal(line.Data, &e) == nil && e.Observations == p.Days {
			if complete++; complete == p.Symbols {
				close(done)
			}
		}
	})
	if err != nil {
		return r, err
	}
	defer stop()
	reader, writer := io.Pipe()
	go func() { _ = writer.CloseWithError(prices(writer, p.Symbols, p.Days)) }()
	began := time.Now()
	if _, err := write(ctx, p, "/v1/prices", "text/csv", reader); err != nil {
		return r, err
	}
	r.Answered = time.Since(began).Seconds()
	select {
	case <-done:
	case <-time.After(settleTimeout):
		return r, errors.New("the returns of the import were not committed in time")
	case <-ctx.Done():
		return r, ctx.Err()
	}
	r.Settled = time.Since(began).Seconds()
	r.Rate = float64(r.Prices) / r.Settled
	r.PeakBytes = peak()
	return r, nil
}

// prices writes a file in long form: all symbols of a day, day by day.
func prices(w io.Writer, symbols, days int) error {
	out := bufio.NewWriterSize(w, 64<<10)
	_, _ = out.WriteString("date,symbol,close\n")
	day := civil.Of(2000, time.January, 3)
	var line []byte
	for i := range days {
		date := day.String()
		for s := range symbols {
			line = append(line[:0], date...)
			line = fmt.Appendf(line, ",S%04d,%d.%02d\n", s, 50+(i*7+s*13)%100, (i*31+s)%100)
			if _, err := out.Write(line); err != nil {
				return err
			}
		}
		day = day.AddDays(1)
	}
	return out.Flush()
}

// peak returns the peak memory of the process; 0 where the system does not report it.
func peak() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}
