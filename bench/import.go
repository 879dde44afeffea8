package bench

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"stega/civil"
)

// ImportConfig is what RunImport measures.
type ImportConfig struct {
	Program string // path of the stega program
	Against string // path of another version, which is measured by turns with it; empty: none
	Folder  string // an empty folder, for the prices and the data
	Keep    bool   // keeps the data folder of each run

	Symbols, Days int
	Runs          int // of each program

	Progress func(format string, args ...any)
}

// ImportReport has the medians of the runs.
type ImportReport struct {
	Bars    int           `json:"bars"`
	Runs    int           `json:"runs"`
	Program ImportCosts   `json:"program"`
	Against *ImportCosts  `json:"against,omitempty"`
	Each    []ImportCosts `json:"each"` // run by run, in their order
}

// ImportCosts is the cost of an import to the server, from the request until all that follows from it is committed in
// every service. The written bytes include what it writes within a second afterwards.
type ImportCosts struct {
	Program      string  `json:"program"`
	CPU          float64 `json:"cpuSeconds"` // user and system
	Wall         float64 `json:"wallSeconds"`
	PeakBytes    int64   `json:"peakBytes"`    // of resident memory, since its start
	WrittenBytes int64   `json:"writtenBytes"` // to disk
	DiskBytes    int64   `json:"diskBytes"`    // of the data folder after the server's end
}

// RunImport starts a server on an empty folder, imports a file of prices with all columns, and reports what that cost
// the server, for each program and run. It needs Linux, whose /proc has the figures.
func RunImport(ctx context.Context, cfg ImportConfig) (r ImportReport, err error) {
	r.Bars, r.Runs = cfg.Symbols*cfg.Days, cfg.Runs
	prices := filepath.Join(cfg.Folder, "prices.csv")
	if err := writeFile(prices, func(w io.Writer) error { return bars(w, cfg.Symbols, cfg.Days) }); err != nil {
		return r, err
	}
	programs := []string{cfg.Program}
	if cfg.Against != "" {
		programs = append(programs, cfg.Against)
	}
	costs := map[string][]ImportCosts{}
	for i := range cfg.Runs {
		for _, program := range programs {
			cfg.Progress("run %d of %d: %s", i+1, cfg.Runs, program)
			data := filepath.Join(cfg.Folder, fmt.Sprintf("data-%d", len(r.Each)))
			c, err := importOnce(ctx, program, data, prices)
			if !cfg.Keep {
				err = errors.Join(err, os.RemoveAll(data))
			}
			if err != nil {
				return r, fmt.Errorf("%s: %w", program, err)
			}
			costs[program] = append(costs[program], c)
			r.Each = append(r.Each, c)
		}
		slices.Reverse(programs)
	}
	r.Program = median(costs[cfg.Program])
	if cfg.Against != "" {
		against := median(costs[cfg.Against])
		r.Against = &against
	}
	return r, nil
}

// median returns the median of each figure.
func median(all []ImportCosts) ImportCosts {
	return ImportCosts{
		Program:      all[0].Program,
		CPU:          middle(all, func(c ImportCosts) float64 { return c.CPU }),
		Wall:         middle(all, func(c ImportCosts) float64 { return c.Wall }),
		PeakBytes:    middle(all, func(c ImportCosts) int64 { return c.PeakBytes }),
		WrittenBytes: middle(all, func(c ImportCosts) int64 { return c.WrittenBytes }),
		DiskBytes:    middle(all, func(c ImportCosts) int64 { return c.DiskBytes }),
	}
}

func middle[T cmp.Ordered](all []ImportCosts, of func(ImportCosts) T) T {
	values := make([]T, len(all))
	for i, c := range all {
		values[i] = of(c)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// importOnce measures one import by a program on an empty data folder.
func importOnce(ctx context.Context, program, data, prices string) (c ImportCosts, err error) {
	c.Program = program
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	server, err := launch(ctx, program, data)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, server.end()) }()
	s := server.importServer
	before, err := usageOf(server.pid)
	if err != nil {
		return c, err
	}
	began := time.Now()
	if err := s.settle(ctx, prices); err != nil {
		return c, err
	}
	c.Wall = time.Since(began).Seconds()
	after, err := usageOf(server.pid)
	if err != nil {
		return c, err
	}
	c.CPU = after.cpu - before.cpu
	select { // for what is tidied up behind it
	case <-time.After(time.Second):
	case <-ctx.Done():
		return c, ctx.Err()
	}
	if after, err = usageOf(server.pid); err != nil {
		return c, err
	}
	c.PeakBytes, c.WrittenBytes = after.peak, after.written-before.written
	if err := server.end(); err != nil {
		return c, fmt.Errorf("end the server: %w", err)
	}
	c.DiskBytes, err = sizeOf(data)
	return c, err
}

// launched is a server that a benchmark started.
type launched struct {
	importServer

	pid int
	end func() error // a second call does nothing
}

// launch starts a program as a server on a data folder, and returns when it is ready.
func launch(ctx context.Context, program, data string) (*launched, error) {
	server := exec.CommandContext( //nolint:gosec // the caller chooses what is measured
		ctx, program, "up", "--data", data, "--addr", "127.0.0.1:0", "--log-level", "error",
	)
	server.Cancel = func() error { return server.Process.Signal(os.Interrupt) }
	server.WaitDelay = time.Minute
	stderr, err := server.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	l := &launched{pid: server.Process.Pid}
	ended := false
	l.end = func() error {
		if ended {
			return nil
		}
		ended = true
		return errors.Join(server.Process.Signal(os.Interrupt), server.Wait())
	}
	if l.address, err = readyAddress(stderr); err != nil {
		return nil, errors.Join(err, l.end())
	}
	token, err := os.ReadFile(filepath.Join(data, "token"))
	if err != nil {
		return nil, errors.Join(err, l.end())
	}
	l.token = strings.TrimSpace(string(token))
	return l, nil
}

// readyAddress returns the URL that the server reports, and discards what it writes afterwards.
func readyAddress(stderr io.Reader) (string, error) {
	lines := bufio.NewReader(stderr)
	var all strings.Builder
	for {
		line, err := lines.ReadString('\n')
		if _, rest, ok := strings.Cut(line, "stega is ready on "); ok {
			go func() { _, _ = io.Copy(io.Discard, lines) }()
			address, _, _ := strings.Cut(rest, ",")
			return strings.TrimSpace(address), nil
		}
		all.WriteString(line)
		if err != nil {
			return "", fmt.Errorf("the server ended before it was ready: %s", all.String())
		}
	}
}

// importServer is a server with the token of its administrator.
type importServer struct{ address, token string }

// settle posts a file of prices and returns when all that follows from it is committed.
func (s importServer) settle(ctx context.Context, prices string) error {
	file, err := os.Open(prices)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	var o struct {
		ID        string `json:"id"`
		Operation string `json:"operation_id"`
		Status    string `json:"status"`
		Settled   bool   `json:"settled"`
	}
	err = s.do(ctx, http.MethodPost, "/v1/prices", file, &o)
	id := cmp.Or(o.Operation, o.ID)
	for err == nil && !o.Settled && o.Status != "failed" {
		err = s.do(ctx, http.MethodGet, "/v1/operations/"+id, nil, &o)
	}
	if err == nil && o.Status == "failed" {
		err = fmt.Errorf("the import failed: operation %s", id)
	}
	return err
}

func (s importServer) do(ctx context.Context, method, path string, body io.Reader, into any) error {
	r, err := http.NewRequestWithContext(ctx, method, s.address+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Prefer", "wait=60, settled")
	r.Header.Set("Content-Type", "text/csv")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s answers %d: %s", path, answer.StatusCode, text)
	}
	return json.Unmarshal(text, into)
}

// usage is what a process has used since its start.
type usage struct {
	cpu           float64 // seconds
	peak, written int64   // bytes
}

// ticks is the number of clock ticks of /proc in a second, on every system that Go supports.
const ticks = 100

func usageOf(pid int) (u usage, err error) {
	read := func(name string) string {
		text, failed := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		err = errors.Join(err, failed)
		return string(text)
	}
	number := func(text, name string) int64 {
		_, rest, _ := strings.Cut(text, name+":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			err = errors.Join(err, fmt.Errorf("/proc has no %s", name))
			return 0
		}
		n, failed := strconv.ParseInt(fields[0], 10, 64)
		err = errors.Join(err, failed)
		return n
	}
	stat := read("stat")
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 13 {
		return u, errors.Join(err, errors.New("/proc has no processor time: the benchmark needs Linux"))
	}
	for _, field := range fields[11:13] {
		n, failed := strconv.ParseInt(field, 10, 64)
		err = errors.Join(err, failed)
		u.cpu += float64(n) / ticks
	}
	u.peak = number(read("status"), "VmHWM") << 10
	u.written = number(read("io"), "write_bytes")
	return u, err
}

// sizeOf returns the bytes of all files in a folder.
func sizeOf(folder string) (n int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

func writeFile(path string, write func(w io.Writer) error) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return write(file)
}

// bars writes a file with all columns in long form, symbol by symbol: random walks on weekdays, the same in each run,
// whose adjusted closes step once a quarter.
func bars(w io.Writer, symbols, days int) error {
	out := bufio.NewWriterSize(w, 64<<10)
	_, _ = out.WriteString("date,symbol,open,high,low,close,adj_close,volume\n")
	r := rand.New(rand.NewPCG(1, 7))
	for s := range symbols {
		price, adjusted := 20+280*r.Float64(), 0.7+0.3*r.Float64()
		day := civil.Of(2015, time.January, 1)
		for i := range days {
			for day++; day.Weekday() == time.Saturday || day.Weekday() == time.Sunday; day++ {
				continue
			}
			open := price * (1 + .004*r.NormFloat64())
			price *= math.Exp(.015 * r.NormFloat64())
			high := max(open, price) * (1 + .004*math.Abs(r.NormFloat64()))
			low := min(open, price) * (1 - .004*math.Abs(r.NormFloat64()))
			factor := adjusted + (1-adjusted)*float64(i/63*63)/float64(days)
			_, err := fmt.Fprintf(out, "%s,S%04d,%.2f,%.2f,%.2f,%.2f,%.4f,%d\n",
				day, s, open, high, low, price, price*factor, 100_000+r.IntN(9_900_000))
			if err != nil {
				return err
			}
		}
	}
	return out.Flush()
}
