package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// IdleConfig is what RunIdle measures.
type IdleConfig struct {
	Program  string        // path of the stega program
	Against  string        // path of another version, which is measured after it; empty: none
	Folder   string        // an empty folder, for the data
	Settle   time.Duration // from when the server is ready until the measurement begins
	Duration time.Duration

	Progress func(format string, args ...any)
}

// IdleCosts is what a server without requests uses.
type IdleCosts struct {
	Program       string  `json:"program"`
	CPU           float64 `json:"cpuShare"`       // of one core, as a ratio
	Wakeups       float64 `json:"wakeupsASecond"` // of its threads
	ResidentBytes int64   `json:"residentBytes"`  // at most
}

// RunIdle starts each program as a server on an empty folder and measures what it uses while nothing is requested. It
// needs Linux, whose /proc has the figures.
func RunIdle(ctx context.Context, cfg IdleConfig) (all []IdleCosts, err error) {
	programs := []string{cfg.Program}
	if cfg.Against != "" {
		programs = append(programs, cfg.Against)
	}
	for i, program := range programs {
		cfg.Progress("%s for %s", program, cfg.Duration)
		c, err := idleOnce(ctx, cfg, program, filepath.Join(cfg.Folder, fmt.Sprintf("data-%d", i)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", program, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func idleOnce(ctx context.Context, cfg IdleConfig, program, data string) (c IdleCosts, err error) {
	c.Program = program
	server, err := launch(ctx, program, data)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, server.end()) }()
	pass := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := pass(cfg.Settle); err != nil {
		return c, err
	}
	before, err := usageOf(server.pid)
	if err != nil {
		return c, err
	}
	slept, err := Wakeups(server.pid)
	if err != nil {
		return c, err
	}
	began := time.Now()
	if err := pass(cfg.Duration); err != nil {
		return c, err
	}
	took := time.Since(began).Seconds()
	after, err := usageOf(server.pid)
	if err != nil {
		return c, err
	}
	woke, err := Wakeups(server.pid)
	if err != nil {
		return c, err
	}
	c.CPU, c.Wakeups, c.ResidentBytes = (after.cpu-before.cpu)/took, float64(woke-slept)/took, after.peak
	return c, nil
}

// Wakeups counts how often the threads of a process went to sleep. It needs Linux.
func Wakeups(pid int) (n int, err error) {
	threads, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/status")
	if err == nil && len(threads) == 0 {
		err = errors.New("/proc has no threads of the process: the benchmark needs Linux")
	}
	for _, name := range threads {
		status, failed := os.ReadFile(name)
		if failed != nil {
			continue // the thread has ended
		}
		_, rest, _ := strings.Cut(string(status), "\nvoluntary_ctxt_switches:")
		text, _, _ := strings.Cut(rest, "\n")
		count, failed := strconv.Atoi(strings.TrimSpace(text))
		err = errors.Join(err, failed)
		n += count
	}
	return n, err
}
