package pricefile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/fault"
	"stega/services/marketdata/pricefile"
)

// utf16le returns a text in UTF-16, with or without a byte order mark.
func utf16le(text string, mark bool) string {
	var b strings.Builder
	if mark {
		b.WriteString("\xff\xfe")
	}
	for _, u := range utf16.Encode([]rune(text)) {
		b.WriteByte(byte(u))
		b.WriteByte(byte(u >> 8))
	}
	return b.String()
}

func TestFilesOfVendorsScriptsAndSpreadsheets(t *testing.T) {
	t.Parallel()
	aapl := pricefile.Options{Symbol: "AAPL"}
	for _, c := range []struct {
		name, text string
		opts       pricefile.Options
		want       string
	}{
		{
			"a script's header of three lines, one symbol",
			"Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n" +
				"2024-01-02,185.64,188.44,183.88,187.15,82488700\n",
			pricefile.Options{}, "AAPL 2024-01-02 185.64 open=187.15 high=188.44 low=183.88 volume=82488700",
		},
		{
			"a script's header of three lines, two symbols, the ticker first",
			"Ticker,AAPL,AAPL,MSFT,MSFT\nPrice,Open,Close,Open,Close\nDate,,,,\n2024-01-02,1,2,3,4\n2024-01-03,1,2,,\n",
			pricefile.Options{}, "AAPL 2024-01-02 2 open=1|AAPL 2024-01-03 2 open=1|MSFT 2024-01-02 4 open=3",
		},
		{
			"an index without a name over two lines", ",Adj Close,Adj Close,Close,Close\n,AAPL,MSFT,AAPL,MSFT\n" +
				"2024-01-02,1,2,3,4\n", pricefile.Options{}, "AAPL 2024-01-02 3 adj=1|MSFT 2024-01-02 4 adj=2",
		},
		{
			"fields on the first line, symbols on the second", "Date,Close,Volume\n,AAPL,AAPL\n2024-01-02,1,2\n",
			pricefile.Options{}, "AAPL 2024-01-02 1 volume=2",
		},
		{
			"symbols over merged cells", ",AAPL,,MSFT,\nDate,Open,Close,Open,Close\n2024-01-02,1,2,3,4\n",
			pricefile.Options{}, "AAPL 2024-01-02 2 open=1|MSFT 2024-01-02 4 open=3",
		},
		{
			"columns of R", "\"\",\"QM.Open\",\"QM.High\",\"QM.Low\",\"QM.Close\",\"QM.Volume\",\"QM.Adjusted\"\n" +
				"\"2024-01-02\",1,3,1,2,100,1.5\n", pricefile.Options{},
			"QM 2024-01-02 2 open=1 high=3 low=1 adj=1.5 volume=100",
		},
		{
			"columns of R, renamed", "Index,BRK.B.Close,BRK.B.Volume\n2024-01-02,1,2\n",
			pricefile.Options{Symbol: "BRK.B"}, "BRK.B 2024-01-02 1 volume=2",
		},
		{"names in pairs", "Date,\"('Close', 'AAPL')\",\"('Volume', 'AAPL')\"\n2024-01-02,1,2\n", pricefile.Options{},
			"AAPL 2024-01-02 1 volume=2"},
		{"names with an underscore", "date,close_AAPL,MSFT_close\n2024-01-02,1,2\n", pricefile.Options{},
			"AAPL 2024-01-02 1|MSFT 2024-01-02 2"},
		{
			"a portal's abbreviated volumes and thousands",
			"\"Date\",\"Price\",\"Open\",\"High\",\"Low\",\"Vol.\",\"Change %\"\n" +
				"\"01/22/2024\",\"4,845.65\",\"4,853.42\",\"4,868.41\",\"4,844.05\",\"55.47M\",\"0.22%\"\n" +
				"\"01/19/2024\",\"4,839.81\",\"4,796.28\",\"4,842.07\",\"4,785.87\",\"-\",\"1.23%\"\n", aapl,
			"AAPL 2024-01-19 4839.81 open=4796.28 high=4842.07 low=4785.87|" +
				"AAPL 2024-01-22 4845.65 open=4853.42 high=4868.41 low=4844.05 volume=55470000",
		},
		{
			"a German portal",
			"Datum;Eröffn.;Hoch;Tief;Zuletzt;Vol.;+/- %\n22.01.2024;16.500,10;16.600;16.400;16.538,39" +
				";1,5B;0,1%\n", pricefile.Options{Symbol: "DAX"},
			"DAX 2024-01-22 16538.39 open=16500.1 high=16600 low=16400 volume=1500000000",
		},
		{
			"a German portal in Latin-1",
			"Datum;Er\xf6ffnung;Schlu\xdf;Schlusskurs;W\xe4hrung\n22.01.2024;1,5;;1,75;\x80\n",
			pricefile.Options{Symbol: "SAP"}, "SAP 2024-01-22 1.75 open=1.5",
		},
		{"a German sheet with euros", "Datum;Kurs\n22.01.2024;12,50 €\n23.01.2024;€1.013,00\n", aapl,
			"AAPL 2024-01-22 12.5|AAPL 2024-01-23 1013"},
		{"apostrophes and spaces between thousands", "date;A;B;C\n2024-01-02;1'234.50;1 234.5;1\u202f234.25\n",
			pricefile.Options{}, "A 2024-01-02 1234.5|B 2024-01-02 1234.5|C 2024-01-02 1234.25"},
		{"Indian thousands", "date;A\n2024-01-02;12,34,567.50\n2024-01-03;1,234\n", pricefile.Options{},
			"A 2024-01-02 1234567.5|A 2024-01-03 1234"},
		{"one mark between thousands, decided by a later line", "date;A\n2024-01-02;1,234\n2024-01-03;1,234.5\n",
			pricefile.Options{}, "A 2024-01-02 1234|A 2024-01-03 1234.5"},
		{"a point between thousands, decided by a later line", "date;A\n2024-01-02;1.234\n2024-01-03;12,5\n",
			pricefile.Options{}, "A 2024-01-02 1234|A 2024-01-03 12.5"},
		{"a high and a low decided by a later line", "date;symbol;close;high;low\n2024-01-02;A;999;1.002;995\n" +
			"2024-01-03;A;12,5;;\n", pricefile.Options{}, "A 2024-01-02 999 high=1002 low=995|A 2024-01-03 12.5"},
		{"a decimal mark that is named", "date;A\n2024-01-02;1,234\n", pricefile.Options{Decimal: ","},
			"A 2024-01-02 1.234"},
		{"decimal commas between commas", "date,A\n2024-01-02,\"1,5\"\n2024-01-03,\"1,234\"\n", pricefile.Options{},
			"A 2024-01-02 1.5|A 2024-01-03 1.234"},
		{"currencies",
			"date,symbol,close\n2024-01-02,A,$1\n2024-01-02,B,2 USD\n2024-01-02,C,EUR 3\n2024-01-02,D,4 kr\n",
			pricefile.Options{}, "A 2024-01-02 1|B 2024-01-02 2|C 2024-01-02 3|D 2024-01-02 4"},
		{
			"texts for no price", "date,A,B,C,D,E,F\n2024-01-02,NA,NaN,#N/A,.,-,1\n2024-01-03,n/a,null,None,--,,2\n",
			pricefile.Options{}, "F 2024-01-02 1|F 2024-01-03 2",
		},
		{"texts for no price, long", "date,symbol,close\n2024-01-02,A,NaN\n2024-01-03,A,2\n", pricefile.Options{},
			"A 2024-01-03 2"},
		{"an economic series", "observation_date,SP500\n2024-01-01,.\n2024-01-02,4742.83\n", pricefile.Options{},
			"SP500 2024-01-02 4742.83"},
		{"an economic series of another name", "observation_date,SP500\n2024-01-02,4742.83\n",
			pricefile.Options{Symbol: "SPX"}, "SPX 2024-01-02 4742.83"},
		{"fund prices", "Date,NAV\n2024-01-02,10\n", pricefile.Options{FallbackSymbol: "VTSAX"}, "VTSAX 2024-01-02 10"},
		{"futures", "Date,Open,High,Low,Settle,Volume,Open Interest\n2024-01-02,4815,4830,4760,4785,1200000,5\n",
			pricefile.Options{Symbol: "ES"}, "ES 2024-01-02 4785 open=4815 high=4830 low=4760 volume=1200000"},
		{
			"a bulk file", "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n" +
				"AAPL.US,D,20240102,000000,1,3,1,2,100,0\n", pricefile.Options{},
			"AAPL.US 2024-01-02 2 open=1 high=3 low=1 volume=100",
		},
		{"coins", "snapped_at,price,market_cap,total_volume\n2024-01-02 00:00:00 UTC,44957.9,880564385421.5,25123.8\n",
			pricefile.Options{Symbol: "BTC"}, "BTC 2024-01-02 44957.9"},
		{"a spreadsheet's function", "Date,Close\n1/2/2024 16:00:00,185.64\n1/31/2024 16:00:00,184.4\n", aapl,
			"AAPL 2024-01-02 185.64|AAPL 2024-01-31 184.4"},
		{"times of twelve hours, and weekdays", "Date,A\n\"Tue, Jan 2, 2024 4:00 PM\",1\n\"Wed Jan 03 2024\",2\n",
			pricefile.Options{}, "A 2024-01-02 1|A 2024-01-03 2"},
		{"times with the offset of the exchange", "Date,A\n2024-01-02 00:00:00-05:00,1\n2024-07-02 00:00:00-04:00,2\n",
			pricefile.Options{}, "A 2024-01-02 1|A 2024-07-02 2"},
		{"times of UTC at the ends of a day", "Date,A\n2024-01-02T00:00:00.000Z,1\n2024-01-03T23:59:59.999Z,2\n",
			pricefile.Options{}, "A 2024-01-02 1|A 2024-01-03 2"},
		{"times of UTC in a zone that is named", "Date,A\n2022-01-02 23:00:00+00:00,1\n2022-07-03 22:00:00+00:00,2\n",
			pricefile.Options{TimeZone: "Europe/Berlin"}, "A 2022-01-03 1|A 2022-07-04 2"},
		{"seconds since 1970", "time,A\n1704153600,1\n1704240000.0,2\n", pricefile.Options{},
			"A 2024-01-02 1|A 2024-01-03 2"},
		{"milliseconds since 1970 in a zone", "time,A\n1704205800000,1\n",
			pricefile.Options{TimeZone: "America/New_York"}, "A 2024-01-02 1"},
		{"rows twice", "date,symbol,close\n2024-01-02,A,1\n2024-01-02,A,1.0\n2024-01-03,A,2\n", pricefile.Options{},
			"A 2024-01-02 1|A 2024-01-03 2"},
		{
			"lines around the table",
			"Price history\nSymbol: AAPL;;\n\nDate;Close;Note\n2024-01-02;1;\n;;\nTotal;1;\n" +
				"Source: the exchange, without warranty\n", aapl, "AAPL 2024-01-02 1",
		},
		{"empty fields at the ends of rows", "date,A\n2024-01-02,1,,\n,,\n", pricefile.Options{}, "A 2024-01-02 1"},
		{"UTF-16 with a byte order mark", utf16le("date\tA\r\n2024-01-02\t1\r\n", true), pricefile.Options{},
			"A 2024-01-02 1"},
		{"UTF-16 without one", utf16le("date;A\n2024-01-02;1,5 €\n", false), pricefile.Options{}, "A 2024-01-02 1.5"},
		{"columns that nobody needs", "date,symbol,name,close,sector\n2024-01-02,A,Alpha,1,X\n", pricefile.Options{},
			"A 2024-01-02 1"},
		{"row numbers beside the date", ",date,close\n0,2024-01-02,1\n", aapl, "AAPL 2024-01-02 1"},
		{"an index of another name", "Stichtag,AAPL\n2024-01-02,1\n", pricefile.Options{}, "AAPL 2024-01-02 1"},
		{"symbols that are words, given the form", "date,NAV,AAPL\n2024-01-02,1,2\n", pricefile.Options{Wide: true},
			"AAPL 2024-01-02 2|NAV 2024-01-02 1"},
		{"small prices of 16 digits", "date,A\n2024-01-02,9.123456780123456e-06\n2024-01-03,9.999999747378752e-05\n" +
			"2024-01-04,0.000009123456780123456\n", pricefile.Options{},
			"A 2024-01-02 0.0000091234567801235|A 2024-01-03 0.0000999999974737875|A 2024-01-04 0.0000091234567801235"},
		{"a volume that is none", "date,symbol,close,volume\n2024-01-02,A,1,many\n", pricefile.Options{},
			"A 2024-01-02 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(t, c.text, c.opts)
			require.NoError(t, err)
			assert.Equal(t, strings.Split(c.want, "|"), got)
		})
	}
}

func TestWhatCanMeanTwoThingsIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		opts       pricefile.Options
		code, says string
	}{
		{"fund prices of no symbol", "Date,NAV\n2024-01-02,10\n", pricefile.Options{}, "symbol_missing", "?symbol="},
		{"futures of no symbol", "Date,Open,High,Low,Settle,Volume\n2024-01-02,1,1,1,1,1\n", pricefile.Options{},
			"symbol_missing", "?symbol="},
		{"a table and symbols", "date,NAV,AAPL\n2024-01-02,1,2\n", pricefile.Options{FallbackSymbol: "X"},
			"columns_ambiguous", "?form=wide"},
		{"quotes without a close", "Date,Bid,Ask\n2024-01-02,1,2\n", pricefile.Options{Symbol: "X"}, "prices_invalid",
			"no close column"},
		{"the symbols of columns beside another", "Index,A.Close,B.Close\n2024-01-02,1,2\n",
			pricefile.Options{Symbol: "X"}, "symbol_unexpected", "2 symbols"},
		{"dotted dates and a point", "Datum;AAPL\n02.01.2024;1.234\n", pricefile.Options{}, "prices_invalid",
			"?decimal="},
		{"quoted thousands or fractions", "date,A\n2024-01-02,\"1,234\"\n", pricefile.Options{}, "prices_invalid",
			"?decimal="},
		{"UTC before midnight", "Date,A\n2022-01-02 23:00:00+00:00,1\n2022-01-03 23:00:00+00:00,2\n",
			pricefile.Options{}, "prices_invalid", "?time_zone="},
		{"seconds of the opening", "Date,A\n1704205800,1\n", pricefile.Options{}, "prices_invalid", "?time_zone="},
		{"a zone that is not", "Date,A\n1704205800,1\n", pricefile.Options{TimeZone: "Mars"}, "time_zone_unknown",
			"Mars"},
		{"intraday with offsets", "Date,Close\n2024-01-02 09:30:00-05:00,1\n2024-01-02 09:45:00-05:00,2\n",
			pricefile.Options{Symbol: "A"}, "prices_invalid", "intraday"},
		{"intraday in UTC", "Date,Close\n2024-01-02 14:30:00+00:00,1\n2024-01-02 14:45:00+00:00,2\n",
			pricefile.Options{Symbol: "A"}, "prices_invalid", "intraday"},
		{"intraday in seconds", "time,close\n1704205800,1\n1704206700,2\n", pricefile.Options{Symbol: "A"},
			"prices_invalid", "intraday"},
		{"intraday with a column of times", "Date,Time,Close\n2024-01-02,09:30,1\n2024-01-02,09:45,2\n",
			pricefile.Options{Symbol: "A"}, "prices_invalid", "intraday"},
		{"intraday with dates of two readings", "Date,Close\n1/2/2024 9:30,1\n1/2/2024 9:45,2\n",
			pricefile.Options{Symbol: "A"}, "prices_invalid", "intraday"},
		{"serial numbers", "Date,A\n45293,1\n", pricefile.Options{}, "prices_invalid", "spreadsheet"},
		{"two currencies of one symbol", "date,symbol,close\n2024-01-02,A,$1\n2024-01-03,A,€1\n", pricefile.Options{},
			"prices_invalid", "currency"},
		{"a dividend without a close", "date,symbol,close,dividend\n2024-01-02,A,NA,1\n", pricefile.Options{},
			"prices_invalid", "dividend"},
		{"a text amid rows", "date,A\n2024-01-02,1\nSource: me,\n2024-01-03,1\n", pricefile.Options{}, "prices_invalid",
			"Source"},
		{"a last line that was cut", "date,symbol,close\n2024-01-02,A,1\n2024-01-0", pricefile.Options{},
			"prices_invalid", "1 fields"},
		{"digits that would be lost", "date,A\n2024-01-02,1.234567890123456e-15\n", pricefile.Options{},
			"prices_invalid", "too small"},
		{"returns of no unit", "date,A\n2024-01-02,1.2\n2024-01-03,-0.4\n", pricefile.Options{Returns: "true"},
			"returns_ambiguous", "returns=percent"},
		{"returns with a hole", "date,A\n2024-01-02,0.01\n2024-01-03,\n2024-01-04,0.01\n",
			pricefile.Options{Returns: "true"}, "prices_invalid", "between others"},
		{"a loss of everything", "date,A\n2024-01-02,-1\n", pricefile.Options{Returns: "ratio"}, "prices_invalid",
			"100 %"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(t, c.text, c.opts)
			f, ok := errors.AsType[*fault.Fault](err)
			require.True(t, ok, "%v %v", got, err)
			assert.Equal(t, c.code, f.Code, f.Error())
			assert.NotEmpty(t, f.Hint)
			assert.Contains(t, f.Error()+f.Hint+fmt.Sprint(f.Errors), c.says)
		})
	}
}

func TestReturnsBecomeCloses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		opts       pricefile.Options
		want       string
	}{
		{
			"daily, over a weekend", "date,Long/Short Equity\n2024-01-01,0.1\n2024-01-02,-0.05\n",
			pricefile.Options{Returns: "true"},
			"LONG-SHORT-EQUITY 2023-12-29 100|LONG-SHORT-EQUITY 2024-01-01 110|LONG-SHORT-EQUITY 2024-01-02 104.5",
		},
		{
			"monthly, from two begins", ",HAM1,HAM2\n1996-01-31,0.01,\n1996-02-29,0.02,0.2\n1996-03-31,0,-0.05\n",
			pricefile.Options{Returns: "true"},
			"HAM1 1995-12-31 100|HAM1 1996-01-31 101|HAM1 1996-02-29 103.02|HAM1 1996-03-31 103.02|" +
				"HAM2 1996-01-31 100|HAM2 1996-02-29 120|HAM2 1996-03-31 114",
		},
		{
			"in percent, of one symbol", "Date,Return\n2024-01-02,1.5\n", pricefile.Options{
				Symbol: "FUND", Returns: "percent",
			}, "FUND 2024-01-01 100|FUND 2024-01-02 101.5",
		},
		{"with percent signs", "date;A\n2024-01-02;1,5 %\n", pricefile.Options{Returns: "true"},
			"A 2024-01-01 100|A 2024-01-02 101.5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(t, c.text, c.opts)
			require.NoError(t, err)
			assert.Equal(t, strings.Split(c.want, "|"), got)
		})
	}
}

func TestAllFaultsAreCounted(t *testing.T) {
	t.Parallel()
	text := "date,A\n" + strings.Repeat("2024-01-02,x\n", 5000)
	for _, all := range []bool{false, true} {
		_, err := read(t, text, pricefile.Options{AllErrors: all})
		f, ok := errors.AsType[*fault.Fault](err)
		require.True(t, ok)
		assert.Contains(t, f.Detail, "5000 faults")
		want := 20
		if all {
			want = 5000
		}
		assert.Len(t, f.Errors, want)
	}
}
