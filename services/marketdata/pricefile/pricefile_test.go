package pricefile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"stega/fault"
	"stega/services/marketdata/pricefile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// read reads a file and shows what came of it: "SYMBOL day close [field=value …]" for each bar, by symbol and day.
func read(t testing.TB, text string, opts pricefile.Options) ([]string, error) {
	t.Helper()
	spool, err := pricefile.Read(t.Context(), strings.NewReader(text), opts)
	if err != nil {
		return nil, err
	}
	defer func() { require.NoError(t, spool.Close()) }()
	return shown(t, spool), nil
}

func shown(t testing.TB, spool *pricefile.Spool) []string {
	t.Helper()
	var out []string
	for _, symbol := range spool.Symbols() {
		bars, err := spool.Bars(symbol, nil)
		require.NoError(t, err)
		for _, b := range bars {
			line := fmt.Sprintf("%s %s %s", symbol, b.Day, b.Close)
			for _, v := range []struct {
				name  string
				value interface{ String() string }
				valid bool
			}{
				{"open", b.Open.Decimal, b.Open.Valid}, {"high", b.High.Decimal, b.High.Valid},
				{"low", b.Low.Decimal, b.Low.Valid},
				{"adj", b.AdjClose.Decimal, b.AdjClose.Valid}, {"volume", b.Volume.Decimal, b.Volume.Valid},
				{"dividend", b.Dividend.Decimal, b.Dividend.Valid}, {"split", b.Split.Decimal, b.Split.Valid},
			} {
				if v.valid {
					line += " " + v.name + "=" + v.value.String()
				}
			}
			out = append(out, line)
		}
	}
	return out
}

func TestWhatFilesSay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		opts       pricefile.Options
		want       string
	}{
		{"long, in any order", "symbol,close,date\nB,2,2024-01-03\nA,1,2024-01-03\nB,1.50,2024-01-02\n",
			pricefile.Options{},
			"A 2024-01-03 1|B 2024-01-02 1.5|B 2024-01-03 2"},
		{
			"long, with everything",
			"Date,Ticker,Open,High,Low,Close,Adj Close,Volume,Dividends,Stock Splits\n2024-01-02,a,1,3,1,2,1.9,100," +
				"0.0,2\n",
			pricefile.Options{}, "A 2024-01-02 2 open=1 high=3 low=1 adj=1.9 volume=100 split=2",
		},
		{
			"wide", "date,AAPL,BRK.B\n2024-01-02,1,\n2024-01-03,,2\n", pricefile.Options{},
			"AAPL 2024-01-02 1|BRK.B 2024-01-03 2",
		},
		{"wide, with an index that has no name", ",AAPL\n2024-01-02,1\n", pricefile.Options{}, "AAPL 2024-01-02 1"},
		{
			"wide, of symbols that look like columns", "date,OPEN,LOW\n2024-01-02,1,2\n", pricefile.Options{},
			"LOW 2024-01-02 2|OPEN 2024-01-02 1",
		},
		{
			"single",
			"Date,Open,High,Low,Close,Adj Close,Volume,Change\n2024-01-02,1,3,1,2,1.9,0,up\n2024-01-03,null,null," +
				"null,null,null,null,\n",
			pricefile.Options{Symbol: "aapl"}, "AAPL 2024-01-02 2 open=1 high=3 low=1 adj=1.9 volume=0",
		},
		{
			"semicolons, quotes, CRLF, a byte order mark and blank lines",
			"\ufeffdate;symbol;close\r\n\r\n\"2024-01-02\";\"A\";\"1\"\r\n", pricefile.Options{}, "A 2024-01-02 1",
		},
		{"tabs and no line feed at the end", "date\tA\n2024-01-02\t1", pricefile.Options{}, "A 2024-01-02 1"},
		{
			"a time after the date", "timestamp,symbol,close\n2024-01-02T00:00:00Z,A,1\n2024-01-03 16:00,A,2\n",
			pricefile.Options{}, "A 2024-01-02 1|A 2024-01-03 2",
		},
		{
			"months in letters", "date,A\n2-Jan-2024,1\n\"Jan 3, 2024\",2\n", pricefile.Options{},
			"A 2024-01-02 1|A 2024-01-03 2",
		},
		{
			"days first, as one line shows", "date,A\n02/01/2024,1\n13/01/2024,2\n", pricefile.Options{},
			"A 2024-01-02 1|A 2024-01-13 2",
		},
		{
			"months first, as one line shows", "date,A\n02/01/2024,1\n01/13/2024,2\n", pricefile.Options{},
			"A 2024-01-13 2|A 2024-02-01 1",
		},
		{"a form that was named", "date,A\n03/04/2024,1\n", pricefile.Options{DateFormat: "DD/MM/YYYY"},
			"A 2024-04-03 1"},
		{"days without separators", "date,A\n20240403,1\n", pricefile.Options{}, "A 2024-04-03 1"},
		{
			"with the line that tells Excel the separator", "sep=;\r\ndate;symbol;close\r\n2024-01-02;A;1\r\n",
			pricefile.Options{}, "A 2024-01-02 1",
		},
		{
			"single, with dollar signs",
			"Date,Close/Last,Volume,Open,High,Low\n01/22/2024,$193.89,60133850,$192.30,$195.33,$192.26\n",
			pricefile.Options{Symbol: "AAPL"},
			"AAPL 2024-01-22 193.89 open=192.3 high=195.33 low=192.26 volume=60133850",
		},
		{
			"decimal commas, in German",
			"Datum;Erster;Hoch;Tief;Schlusskurs;Stuecke\n24.01.2024;1,5;2,125;1,25;1,75;300\n25.01.2024;1,75;2;1,7;" +
				"2;100\n",
			pricefile.Options{Symbol: "sap"},
			"SAP 2024-01-24 1.75 open=1.5 high=2.125 low=1.25|SAP 2024-01-25 2 open=1.75 high=2 low=1.7",
		},
		{
			"decimal commas of three digits, as one number shows", "date\tA\n2024-01-02\t1,234\n2024-01-03\t0,999\n",
			pricefile.Options{}, "A 2024-01-02 1.234|A 2024-01-03 0.999",
		},
		{
			"decimal points beside semicolons", "date;A\n2024-01-02;1.234\n2024-01-03;7\n", pricefile.Options{},
			"A 2024-01-02 1.234|A 2024-01-03 7",
		},
		{
			"spellings of the adjusted close", "date,symbol,close,Adj. Close**\n2024-01-02,A,2,1\n",
			pricefile.Options{},
			"A 2024-01-02 2 adj=1",
		},
		{
			"headers in any case, with spaces around", " DATE , Symbol,cLOSE \n 2024-01-02 , A , 1 \n\n",
			pricefile.Options{},
			"A 2024-01-02 1",
		},
		{
			"a very long line", "date,symbol,close\n2024-01-02,A," + strings.Repeat("0", 900_000) + "1\n",
			pricefile.Options{},
			"A 2024-01-02 1",
		},
		{
			"exact numbers", "date,A\n2024-01-02,0.1234567890123456789\n2024-01-03,1e2\n", pricefile.Options{},
			"A 2024-01-02 0.1234567890123456789|A 2024-01-03 100",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(t, c.text, c.opts)
			require.NoError(t, err)
			assert.Equal(t, strings.Split(c.want, "|"), got)
		})
	}
}

func TestWhatIsWrongNamesItsLine(t *testing.T) {
	t.Parallel()
	const head = "date,symbol,close\n2024-01-02,A,1\n"
	for _, c := range []struct {
		name, text string
		opts       pricefile.Options
		code       string
		line       int
		says       string
	}{
		{
			"an adjusted close alone", "date,symbol,adj_close\n", pricefile.Options{}, "prices_invalid", 1,
			"adjusted close does not stand",
		},
		{"a column twice", "date,symbol,close,Close\n", pricefile.Options{}, "prices_invalid", 1, "twice"},
		{
			"two names of one column", "date,symbol,close,closing price\n", pricefile.Options{}, "prices_invalid", 1,
			"both mean close",
		},
		{"a symbol twice", "date,A,a\n", pricefile.Options{}, "prices_invalid", 1, "twice"},
		{"data without a header", "2024-01-02,A,1\n", pricefile.Options{}, "prices_invalid", 1, "header"},
		{"a header without a date", "foo,,bar\n1,2,3\n", pricefile.Options{}, "prices_invalid", 1, "no date column"},
		{"a dollar sign alone", head + "2024-01-03,A,$\n", pricefile.Options{}, "prices_invalid", 3, "not a number"},
		{"a negative amount of dollars", head + "2024-01-03,A,$-1\n", pricefile.Options{}, "prices_invalid", 3,
			"below zero"},
		{
			"a comma that may be either", "date;A\n2024-01-02;1\n2024-01-03;1,234\n", pricefile.Options{},
			"prices_invalid", 3,
			"between thousands",
		},
		{
			"points and commas", "date;A\n2024-01-02;1,5\n2024-01-03;1.5\n", pricefile.Options{}, "prices_invalid", 3,
			"the other way round",
		},
		{"thousands of two digits", "date;A\n2024-01-02;1.234.56,5\n", pricefile.Options{}, "prices_invalid", 2,
			"thousands"},
		{"a ragged row", head + "2024-01-03,A\n", pricefile.Options{}, "prices_invalid", 3, "2 fields"},
		{"a quote without end", head + "2024-01-03,\"A,1\n", pricefile.Options{}, "prices_invalid", 3, "quoted"},
		{"a day twice", head + "2024-01-03,A,1\n2024-01-02,A,2\n", pricefile.Options{}, "prices_invalid", 4,
			"2024-01-02"},
		{
			"a high below the low", "date,symbol,close,high,low\n2024-01-02,A,1,1,2\n", pricefile.Options{},
			"prices_invalid", 2,
			"below its low",
		},
		{"a day that is not", head + "2023-02-29,A,1\n", pricefile.Options{}, "prices_invalid", 3, "2023-02-29"},
		{"a day before all prices", head + "1066-10-14,A,1\n", pricefile.Options{}, "prices_invalid", 3, "1066"},
		{
			"dates that contradict each other", "date,A\n13/01/2024,1\n01/14/2024,1\n", pricefile.Options{},
			"prices_invalid", 3,
			"",
		},
		{"dates that leave it open", "date,A\n03/04/2024,1\n", pricefile.Options{}, "prices_invalid", 2, "date_format"},
		{
			"more digits than can be kept", "date,A\n2024-01-02,0.12345678901234567891\n", pricefile.Options{},
			"prices_invalid",
			2, "digits",
		},
		{"a thousands separator", "date,A\n2024-01-02,\"1,000\"\n", pricefile.Options{}, "prices_invalid", 2, "1,000"},
		{"not a number", head + "2024-01-03,A,one\n", pricefile.Options{}, "prices_invalid", 3, "one"},
		{"a symbol column beside ?symbol=", head, pricefile.Options{Symbol: "A"}, "symbol_unexpected", 0, "?symbol=A"},
		{"no symbol", "Date,Close\n2024-01-02,1\n", pricefile.Options{}, "symbol_missing", 0, "symbol"},
		{"a form of dates that is none", head, pricefile.Options{DateFormat: "soon"}, "date_format_unknown", 0, "soon"},
		{"a symbol in Latin-1", "date,symbol,close\n2024-01-02,\xe4,1\n", pricefile.Options{}, "prices_invalid", 2,
			"ä"},
		{"HTML", "<html>", pricefile.Options{}, "prices_not_csv", 0, "HTML"},
		{
			"a line of two MiB", "date,symbol,close\n" + strings.Repeat("x", 2<<20), pricefile.Options{},
			"prices_invalid", 2,
			"longer",
		},
		{
			"too much", head + strings.Repeat("2024-01-03,A,1\n", 100), pricefile.Options{MaxBytes: 1000},
			"body_too_large", 0,
			"1000 bytes",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(t, c.text, c.opts)
			f, ok := errors.AsType[*fault.Fault](err)
			require.True(t, ok, "%v %v", got, err)
			assert.Equal(t, c.code, f.Code)
			assert.NotEmpty(t, f.Hint)
			if c.line > 0 {
				require.NotEmpty(t, f.Errors)
				assert.Equal(t, c.line, f.Errors[0].Line, f.Error())
			}
			assert.Contains(t, f.Error()+f.Hint+fmt.Sprint(f.Errors), c.says)
		})
	}
}

func TestAFileOfTenThousandColumns(t *testing.T) {
	t.Parallel()
	const symbols, days = 10_000, 5
	var b strings.Builder
	b.WriteString("date")
	for i := range symbols {
		_, _ = fmt.Fprintf(&b, ",S%d", i)
	}
	for day := range days {
		_, _ = fmt.Fprintf(&b, "\n2024-01-%02d", day+1)
		for i := range symbols {
			_, _ = fmt.Fprintf(&b, ",%d.%d", i+1, day)
		}
	}
	got, err := read(t, b.String(), pricefile.Options{})
	require.NoError(t, err)
	assert.Len(t, got, symbols*days)
	assert.Contains(t, got, "S9999 2024-01-05 10000.4")
}

func TestABrokenBodyImportsNothing(t *testing.T) {
	t.Parallel()
	body := io.MultiReader(strings.NewReader("date,A\n2024-01-02,1\n"), iotest.ErrReader(io.ErrUnexpectedEOF))
	_, err := pricefile.Read(t.Context(), body, pricefile.Options{})
	f, ok := errors.AsType[*fault.Fault](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, "body_incomplete", f.Code)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = pricefile.Read(ctx, strings.NewReader("date,A\n2024-01-02,1\n"), pricefile.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

// What does not fit in memory goes to a file that leaves nothing behind, and reads the same.
func TestTheSpoolHoldsWhatItIsAllowed(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	var b strings.Builder
	b.WriteString("date,symbol,close,volume\n")
	const symbols, days = 50, 200
	order := rng.Perm(symbols * days)
	for _, i := range order {
		_, _ = fmt.Fprintf(
			&b, "%d-%02d-%02d,S%02d,%d.%02d,%d\n", 2000+i/symbols/28/12, 1+i/symbols/28%12, 1+i/symbols%28, i%symbols,
			1+i%97,
			i%100, i,
		)
	}
	want, err := read(t, b.String(), pricefile.Options{})
	require.NoError(t, err)
	require.Len(t, want, symbols*days)
	dir := t.TempDir()
	got, err := read(t, b.String(), pricefile.Options{MemoryBudget: 4 << 10, TempDir: dir})
	require.NoError(t, err)
	assert.Equal(t, want, got)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)

	_, err = read(t, b.String(), pricefile.Options{MemoryBudget: 4 << 10, TempDir: dir + "/missing"})
	require.Error(t, err, "a folder that cannot be written is told, not passed over")
}

// A body of hundreds of megabytes is read in bounded memory.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 200 MB")
	}
	rows := &endless{left: 8_000_000}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	spool, err := pricefile.Read(
		t.Context(), io.MultiReader(strings.NewReader("date,symbol,close\n"), rows), pricefile.Options{
			TempDir: t.TempDir(), MemoryBudget: 8 << 20,
		},
	)
	require.NoError(t, err)
	runtime.GC()
	runtime.ReadMemStats(&after)
	assert.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(64<<20))
	assert.Len(t, spool.Symbols(), 80)
	bars, err := spool.Bars("S07", nil)
	require.NoError(t, err)
	assert.Len(t, bars, 100_000)
	require.NoError(t, spool.Close())
}

// endless is rows of 80 symbols over 100,000 days.
type endless struct {
	left, made int
	rest       []byte
}

func (e *endless) Read(p []byte) (int, error) {
	for len(e.rest) < len(p) && e.left > 0 {
		day := e.made / 80
		e.rest = fmt.Appendf(e.rest, "%04d-%02d-%02d,S%02d,1.5\n", 1800+day/336, 1+day/28%12, 1+day%28, e.made%80)
		e.made++
		e.left--
	}
	if len(e.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, e.rest)
	e.rest = append(e.rest[:0], e.rest[n:]...)
	return n, nil
}

// Whatever the bytes, reading ends without a panic: with a fault that has a hint, or with bars that are ordered and
// positive.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"date,symbol,close\n2024-01-02,A,1\n", "date,A,B\n2024-01-02,1,\n",
		"Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-02,1,2,1,2,2,5\n",
		"date;A\n03/04/2024;1\n", "\"date\",\"A\"\n\"2024-01-02\",\"1\"\n", "date,A\n2-Jan-24,1e3\n",
		"date\tA\r\n20240102\t1",
		"Price,Close,High\nTicker,AAPL,AAPL\nDate,,\n2024-01-02,1,2\n",
		",AAPL,,MSFT,\nDate,Open,Close,Open,Close\n2024-01-02,1,2,3,4\n",
		"\"\",\"QM.Close\",\"QM.Adjusted\"\n\"2024-01-02\",2,1.5\n",
		"Date,Price,Vol.\n01/22/2024,\"4,845.65\",55.47M\n", "Datum;Kurs\n22.01.2024;1.234\n23.01.2024;12,50 \u20ac\n",
		"date;symbol;close;high;low\n2024-01-02;A;999;1.002;995\n2024-01-03;A;12,5;;\n",
		"Title\nDate,A\n2022-01-02 23:00:00+00:00,1e-6\n1704205800,9.123456780123456e-06\nTotal,\n",
		"<TICKER>,<DATE>,<CLOSE>\nA.US,20240102,1\nA.US,20240102,1\n", "\xff\xfed\x00,\x00A\x00\n\x00",
		"Datum;Schlu\xdf\n",
	} {
		f.Add(seed, "")
		f.Add(seed, "AAPL")
	}
	f.Fuzz(func(t *testing.T, text, symbol string) {
		opts := pricefile.Options{Symbol: symbol, MemoryBudget: 64, TempDir: t.TempDir()}
		if len(text)%3 == 0 {
			opts.Returns = pricefile.Either
		}
		spool, err := pricefile.Read(t.Context(), strings.NewReader(text), opts)
		if err != nil {
			if f, ok := errors.AsType[*fault.Fault](err); ok {
				assert.NotEmpty(t, f.Detail)
				return
			}
			t.Fatal(err)
		}
		defer func() { _ = spool.Close() }()
		for _, s := range spool.Symbols() {
			bars, err := spool.Bars(s, nil)
			if _, bounded := errors.AsType[*fault.Fault](err); bounded && opts.Returns != "" {
				continue // returns that grow beyond all prices
			}
			require.NoError(t, err)
			require.NotEmpty(t, bars)
			for i, b := range bars {
				require.True(t, b.Close.IsPos())
				require.True(t, i == 0 || bars[i-1].Day < b.Day)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var text strings.Builder
	text.WriteString("date,symbol,close\n")
	for day := range 2520 {
		for s := range 50 {
			_, _ = fmt.Fprintf(&text, "%d-%02d-%02d,S%03d,%d.%02d\n", 2000+day/336, 1+day/28%12, 1+day%28, s, 50+s,
				day%100)
		}
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		spool, err := pricefile.Read(b.Context(), strings.NewReader(text.String()), pricefile.Options{})
		if err != nil {
			b.Fatal(err)
		}
		_ = spool.Close()
	}
}
