package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"stega/client"
	"stega/fault"
)

func newPricesImport(g *globals) *cobra.Command {
	var w waiting
	var symbol, dateFormat string
	var more fileFlags
	c := &cobra.Command{
		Use: "import FILE|FOLDER|-…", Short: "Import CSV files", Args: cobra.MinimumNArgs(1),
		Long: `Imports files of daily prices: long files (date, symbol, close, …), wide
files (a column of closes for each symbol), or files of one symbol, as vendors
serve them. The symbol of such a file is that of --symbol, or else the name of
the file when it is one, as AAPL.csv is and "data (1).csv" is not. Of a folder
all *.csv files are imported, ordered by name; - is the standard input. Each file
is imported as a whole or not at all, and its errors are listed by line.

Spellings of columns, separators, decimal marks and dates are recognized when
they can mean one thing only. A file that leaves something open is refused, and
the error names the flag that decides it.

--returns imports returns in place of prices, as closes that begin at 100 on the
day before the first return.`,
		Example: `  stega prices import prices.csv
  stega prices import prices/ --wait=settled
  stega prices import funds.csv --returns
  curl -s https://example.com/aapl.csv | stega prices import - --symbol AAPL`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"csv"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			files, err := expand(args)
			if err != nil {
				return err
			}
			if _, err := w.parse(); err != nil {
				return err
			}
			i := importer{g: g, c: c, cl: cl, w: &w, symbol: symbol, dateFormat: dateFormat,
				more: more, files: len(files)}
			return i.all(ctx, files)
		}),
	}
	w.flags(c)
	c.Flags().StringVar(&symbol, "symbol", "", "symbol of a file with the prices of one symbol")
	c.Flags().StringVar(&dateFormat, "date-format", "", "format of ambiguous dates, such as DD/MM/YYYY")
	more.flags(c)
	_ = c.RegisterFlagCompletionFunc("symbol", g.many(symbolNames))
	return c
}

// fileFlags are the flags that decide what a file leaves open.
type fileFlags struct {
	decimal, zone, form, returns, errors string
}

func (f *fileFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.decimal, "decimal", "", "decimal mark of ambiguous numbers: . or ,")
	c.Flags().StringVar(&f.zone, "time-zone", "", "zone of the exchange, such as America/New_York, for\ntimes of UTC")
	c.Flags().StringVar(&f.form, "form", "", "wide: each column is a symbol, whatever its name")
	c.Flags().StringVar(&f.returns, "returns", "", "the file has returns: true (in the unit that it shows),\nratio or"+
		" percent")
	c.Flags().Lookup("returns").NoOptDefVal = "true"
	c.Flags().StringVar(&f.errors, "errors", "", "all: list all errors of a file, in place of 20")
	_ = c.RegisterFlagCompletionFunc("form",
		cobra.FixedCompletions([]string{"wide"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("errors",
		cobra.FixedCompletions([]string{"all"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("returns",
		cobra.FixedCompletions([]string{"true", "ratio", "percent"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("decimal",
		cobra.FixedCompletions([]string{".", ","}, cobra.ShellCompDirectiveNoFileComp))
}

// set adds the flags to the query of an import.
func (f *fileFlags) set(q url.Values) {
	for name, value := range map[string]string{
		"decimal": f.decimal, "time_zone": f.zone, "form": f.form, "returns": f.returns, "errors": f.errors,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
}

var tickerName = regexp.MustCompile(`^\^?[A-Z0-9]{1,6}([.=-][A-Z0-9]{1,4})?$`)

// fileSymbol returns the symbol that a file is named after, such as AAPL.csv; empty when its name is no symbol.
func fileSymbol(name string) string {
	base := filepath.Base(name)
	symbol := strings.ToUpper(strings.TrimSuffix(base, filepath.Ext(base)))
	if !tickerName.MatchString(symbol) || !strings.ContainsAny(symbol, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return ""
	}
	word, _, _ := strings.Cut(symbol, "-")
	switch strings.TrimRight(word, "0123456789") {
	case "DATA", "PRICE", "PRICES", "CLOSE", "CLOSES", "QUOTE", "QUOTES", "FILE", "EXPORT", "TABLE", "CHART", "STOCK",
		"STOCKS", "FUND", "FUNDS", "INDEX", "DAILY", "TEST", "NEW", "TMP", "TEMP", "OUT", "OUTPUT", "INPUT", "SHEET",
		"BOOK", "CSV", "NAV", "NAVS", "VALUES", "RETURN", "FULL", "HIST", "Q":
		return ""
	}
	return symbol
}

// expand names the files of folders.
func expand(args []string) ([]string, error) {
	var files []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case arg == "-":
			files = append(files, arg)
			continue
		case err != nil:
			return nil, fault.Usage("file_unreadable", "the file %s cannot be read", arg).Because(err)
		case !info.IsDir():
			files = append(files, arg)
			continue
		}
		entries, err := os.ReadDir(arg)
		if err != nil {
			return nil, fault.Usage("file_unreadable", "the folder %s cannot be read", arg).Because(err)
		}
		before := len(files)
		for _, e := range entries {
			if e.Type().IsRegular() && strings.EqualFold(filepath.Ext(e.Name()), ".csv") {
				files = append(files, filepath.Join(arg, e.Name()))
			}
		}
		if len(files) == before {
			return nil, fault.Usage("folder_empty", "the folder %s has no CSV file", arg).
				WithHint("files of prices end with .csv")
		}
	}
	return files, nil
}

// importer imports files, one after the other.
type importer struct {
	g                  *globals
	c                  *cobra.Command
	cl                 *client.Client
	w                  *waiting
	symbol, dateFormat string
	more               fileFlags
	files              int
}

// imported is what became of a file.
type imported struct {
	File string `json:"file"`
	written
}

// all imports all files that can be, and says of the others why not.
func (i *importer) all(ctx context.Context, files []string) error {
	var done []imported
	var first error
	failed := 0
	for _, file := range files {
		began := time.Now()
		op, err := i.file(ctx, file)
		if op.Status != "" {
			rememberOperation(i.g.at, op.ID)
			done = append(done, imported{file, written{op.ID, op.EntityID, op.Status, op.Settled}})
		}
		if errors.Is(err, context.Canceled) {
			first, failed = err, 1
			break
		}
		if err != nil {
			failed++
			first = err
			if len(files) == 1 {
				break
			}
			printf(i.c.ErrOrStderr(), "%s: ", file)
			explain(i.c.ErrOrStderr(), err)
			continue
		}
		if i.g.format == asTable && !i.g.quiet {
			printf(
				i.c.ErrOrStderr(), "imported %s (%s after %s%s)\n", called(file), i.w.level,
				time.Since(began).Round(time.Millisecond), i.named(file),
			)
		}
	}
	if err := i.print(done); err != nil {
		return err
	}
	if first != nil && failed > 0 && len(files) > 1 && !errors.Is(first, context.Canceled) {
		return fault.New(fault.Of(first).Kind, "imports_failed", "%d of %d files could not be imported", failed,
			len(files)).
			WithHint("fix them as described above, and import them again")
	}
	return first
}

func (i *importer) print(done []imported) error {
	v := importColumns.view(done, func(d imported) string { return cmp.Or(d.ID, d.OperationID) })
	var err error
	if v.raw, err = json.Marshal(done); i.files == 1 && len(done) == 1 {
		v.raw, err = json.Marshal(done[0])
	}
	if err != nil || len(done) == 0 {
		return err
	}
	return i.g.show(i.c, v)
}

var importColumns = columns[imported]{
	{head: "FILE", value: func(d imported) string { return d.File }},
	{head: "OPERATION", value: func(d imported) string { return d.OperationID }},
	{head: "STATUS", value: func(d imported) string {
		if d.Settled {
			return client.Settled
		}
		return d.Status
	}},
}

// file imports one file. A file of a single symbol without its name is imported as the symbol that the file is named
// after; the server decides whether that is needed, so that it can also be decided when a queued file arrives there.
func (i *importer) file(ctx context.Context, name string) (client.Operation, error) {
	body := i.c.InOrStdin()
	size := int64(0)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return client.Operation{}, fault.Usage("file_unreadable", "the file %s cannot be read", name).Because(err)
		}
		defer func() { _ = f.Close() }()
		if info, err := f.Stat(); err == nil {
			size = info.Size()
		}
		body = f
	}
	line := i.g.newLive(i.c.ErrOrStderr(), sprintf("sending %s", called(name)))
	defer line.end()
	cmd := client.ImportPrices(counting(body, size, called(name), line), i.symbol, i.dateFormat)
	i.more.set(cmd.Query)
	if symbol := fileSymbol(name); i.symbol == "" && symbol != "" {
		cmd.Query.Set("default_symbol", symbol)
	}
	return i.g.submit(ctx, i.c, i.cl, cmd, i.w, line)
}

// named returns what a file that names no symbol was imported as.
func (i *importer) named(file string) string {
	if symbol := fileSymbol(file); i.symbol == "" && symbol != "" {
		return "; a file that names no symbol is of " + symbol
	}
	return ""
}

// called is a file as people call it.
func called(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}

// counting says on a line how much of a body was read.
func counting(r io.Reader, size int64, name string, line *live) io.Reader {
	c := &counter{Reader: r, size: size, name: name, line: line}
	if s, ok := r.(io.Seeker); ok && size > 0 {
		return struct {
			io.Reader
			io.Seeker
		}{c, s}
	}
	return c
}

type counter struct {
	io.Reader
	size, said int64
	read       atomic.Int64
	name       string
	line       *live
}

// said every so often
const sayEvery = 256 << 10

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	read := c.read.Add(int64(n))
	switch {
	case err != nil:
		c.line.say("%s is sent, %s; the server reads it", c.name, bytesOf(read))
	case read-c.said >= sayEvery && c.size > 0:
		c.said = read
		c.line.say("sending %s: %s of %s (%d %%)", c.name, bytesOf(read), bytesOf(c.size), min(100, read*100/c.size))
	case read-c.said >= sayEvery:
		c.said = read
		c.line.say("sending %s: %s", c.name, bytesOf(read))
	}
	return n, err
}

// bytesOf is a number of bytes for people.
func bytesOf(n int64) string {
	units := []string{"bytes", "kB", "MB", "GB"}
	v, i := float64(n), 0
	for ; v >= 1000 && i < len(units)-1; i++ {
		v /= 1000
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
