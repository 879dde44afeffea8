package stream

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/fault"
)

// The load test runs with STEGA_LOAD=<connections>; the clients are another process, whose memory is not measured.
//
//	STEGA_LOAD=10000 go test ./services/boundary/stream -run TestLoad -v
const (
	loadEnv   = "STEGA_LOAD"
	clientEnv = "STEGA_LOAD_CLIENT" // the address of the server, in the process of the clients
)

// missedEvents is how many events each client misses in the storm.
const missedEvents = 5

func TestLoad(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv(loadEnv))
	if n == 0 {
		t.Skip("set " + loadEnv + "=10000 for this test")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var requested atomic.Int64
	log := openLog(t, t.TempDir())
	hub := New(log, Options{
		PerAddress: n + 1, Ping: time.Hour, // the clients read only when they are told to
		Operation: func(context.Context, string) (json.RawMessage, error) {
			requested.Add(1)
			return nil, fault.NotFound("operation_unknown", "unknown")
		},
	})
	running, end := context.WithCancel(ctx)
	ended, ready := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); _ = hub.Run(running, func() { close(ready) }) }()
	<-ready
	defer func() { end(); <-ended }()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: hub, ReadHeaderTimeout: 30 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	crowd := newCrowd(ctx, t, listener.Addr().String())

	publish(t, log, message("portfolio.created", "warm", 0))
	before, goroutines := memory(t), runtime.NumGoroutine()
	start := time.Now()
	crowd.enqueue("connect %d", n)
	t.Logf("%d connections with 2 subscriptions each in %v", n, time.Since(start).Round(time.Millisecond))
	each := (memory(t) - before) / n
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	per := float64(runtime.NumGoroutine()-goroutines) / float64(n)
	t.Logf("idle: %.1f KB resident a connection (heap in use %.1f, stacks %.1f), %.2f goroutines", float64(each)/1000,
		float64(m.HeapInuse)/float64(n)/1000, float64(m.StackInuse)/float64(n)/1000, per)
	assert.LessOrEqual(t, each, 30_000)
	assert.LessOrEqual(t, per, 2.0)

	best := math.MaxInt
	for round := range 30 {
		e := message("portfolio.created", "core", round)
		crowd.enqueue("listen")
		used := processorTime(t)
		e.Data = fmt.Appendf(nil,
			`{"at":%d,"name":"core","assets":[{"symbol":"AAPL","weight":"0.6"},{"symbol":"MSFT","weight":"0.4"}]}`,
			time.Now().UnixNano())
		publish(t, log, e)
		times := crowd.enqueue("times")
		t.Logf("one event to %d subscribers, from its publishing: %s; processor time of the server: %v", n, times,
			(processorTime(t) - used).Round(time.Millisecond))
		var p50, p99 int
		_, err := fmt.Sscanf(times, "p50 %dms p99 %dms", &p50, &p99)
		require.NoError(t, err)
		best = min(best, p99)
	}
	assert.LessOrEqual(t, best, 200, "ms in the best round, for the machine may have other things to do")

	crowd.enqueue("drop")
	for i := range missedEvents {
		publish(t, log, message("portfolio.updated", "core", i))
	}
	requested.Store(0)
	start = time.Now()
	crowd.enqueue("storm")
	t.Logf("%d reconnects that resume 2 subscriptions and get %d missed events each in %v", n, missedEvents,
		time.Since(start).Round(time.Millisecond))
	t.Logf("questions about operations: %d", requested.Load())
	assert.Zero(t, requested.Load())
	crowd.enqueue("quit")
}

// processorTime is what the process has used so far.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// memory is the resident memory of the process, after what is garbage went back.
func memory(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if rest, is := strings.CutPrefix(line, "VmRSS:"); is {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			require.NoError(t, err)
			return kb << 10
		}
	}
	t.Fatal("the process has no VmRSS")
	return 0
}

// crowd is the process of the clients.
type crowd struct {
	t   *testing.T
	in  *os.File
	out *bufio.Scanner
}

func newCrowd(ctx context.Context, t *testing.T, addr string) *crowd {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestCrowd$", "-test.v")
	cmd.Env = append(os.Environ(), clientEnv+"="+addr)
	cmd.Stderr = os.Stderr
	r, w, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdin = r
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = w.Close(); _ = cmd.Wait(); _ = r.Close() })
	return &crowd{t, w, bufio.NewScanner(out)}
}

// say gives an order and waits for the answer.
func (c *crowd) enqueue(format string, args ...any) string {
	c.t.Helper()
	_, err := fmt.Fprintf(c.in, format+"\n", args...)
	require.NoError(c.t, err)
	for c.out.Scan() {
		if answer, is := strings.CutPrefix(c.out.Text(), "crowd: "); is {
			require.False(c.t, strings.HasPrefix(answer, "failed"), answer)
			return answer
		}
	}
	c.t.Fatal("the clients ended")
	return ""
}

// TestCrowd is the process of the clients.
func TestCrowd(t *testing.T) {
	addr := os.Getenv(clientEnv)
	if addr == "" {
		t.Skip("this is a part of the load test")
	}
	var lean []*leanClient
	markAlive := make(chan error)
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		order, rest, _ := strings.Cut(orders.Text(), " ")
		answer, err := "ok", error(nil)
		switch order {
		case "connect":
			n, _ := strconv.Atoi(rest)
			for i := range n {
				lean = append(lean, &leanClient{addr: addr, i: i, operation: events.NewID()})
			}
			err = atOnce(lean, 64, (*leanClient).connect)
		case "listen":
			go func() { markAlive <- atOnce(lean, 0, (*leanClient).listen) }()
		case "times":
			if err = <-markAlive; err == nil {
				err = atOnce(lean, 64, (*leanClient).received)
			}
			if err == nil {
				answer = quantiles(lean)
			}
		case "drop":
			err = atOnce(lean, 64, func(l *leanClient) error { return l.conn.Close() })
		case "storm":
			err = atOnce(lean, 512, (*leanClient).comeBack)
		case "quit":
			fmt.Println("crowd: ok")
			return
		}
		if err != nil {
			answer = "failed: " + err.Error()
		}
		fmt.Println("crowd: " + answer)
	}
}
