package marketdata_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/process"
	"stega/services/marketdata"
	"stega/services/marketdata/provider"
)

func TestMain(m *testing.M) { servers.Main(m) }

type summary struct {
	Symbol, First, Last string
	Count               int
}

func symbols(s *stegatest.Server) []summary {
	var list struct{ Items []summary }
	s.Get("/v1/symbols?limit=1000", &list)
	return list.Items
}

type prices struct {
	Symbol string
	Prices []struct {
		Date     string
		Close    string
		AdjClose string `json:"adj_close"`
		Volume   string
	}
}

// imports are the events of imports so far.
func imports(s *stegatest.Server) []string {
	var out []string
	for _, e := range s.Events() {
		if symbol, ok := strings.CutPrefix(e, "marketdata.prices_imported "); ok {
			out = append(out, symbol)
		}
	}
	return out
}

func TestTheThreeForms(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	s.Import("date,symbol,close,volume\n2024-01-03,MSFT,370.60,7\n2024-01-02,AAPL,185.64,\n2024-01-02,MSFT,370.87,8\n",
		"")
	s.Import("Date,GOOG,TSLA\n2024-01-02,139.56,248.42\n2024-01-03,140.36,\n", "")
	s.Import(
		"Date,Open,High,Low,Close,Adj Close,Volume,Colour\n2024-01-02,1,3,1,2,1.9,100,red\n2024-01-03,null,null,"+
			"null,null,null,null,\n",
		"?symbol=nvda",
	)
	assert.Equal(t, []summary{
		{"AAPL", "2024-01-02", "2024-01-02", 1}, {"GOOG", "2024-01-02", "2024-01-03", 2},
		{"MSFT", "2024-01-02", "2024-01-03", 2},
		{"NVDA", "2024-01-02", "2024-01-02", 1}, {"TSLA", "2024-01-02", "2024-01-02", 1},
	}, symbols(s))
	var p prices
	s.Get("/v1/prices/msft?from=2024-01-03", &p)
	require.Len(t, p.Prices, 1)
	assert.Equal(t, "370.6", p.Prices[0].Close)
	assert.Equal(t, "7", p.Prices[0].Volume)
	s.Get("/v1/prices/NVDA", &p)
	assert.Equal(t, "1.9", p.Prices[0].AdjClose)
	assert.Equal(t, http.StatusNotFound, s.Do(http.MethodGet, "/v1/symbols/NONE", "").Status)
	var one summary
	s.Get("/v1/symbols/tsla", &one)
	assert.Equal(t, summary{"TSLA", "2024-01-02", "2024-01-02", 1}, one)
}

func TestTheSameFileAgainChangesNothingAndACorrectionReplaces(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	const file = "date,A,B\n2024-01-02,10,20\n2024-01-03,11,21\n"
	s.Import(file, "")
	s.Eventually("both are told", func() bool { return len(imports(s)) == 2 })
	s.Import(file, "")
	s.Import(strings.Replace(file, "21", "21.0", 1), "")
	s.Import("date,symbol,close\n2024-01-03,B,21.5\n2024-01-02,B,20.00\n", "")
	s.Eventually("the correction is told", func() bool { return len(imports(s)) == 3 })
	assert.Equal(t, []string{"A", "B", "B"}, imports(s))
	log := s.Log()
	for i := len(log) - 1; i >= 0; i-- {
		if log[i].Type == "marketdata.prices_imported" {
			var e events.PricesImported
			require.NoError(t, json.Unmarshal(log[i].Data, &e))
			require.Len(t, e.Days, 1, "only what differs is told")
			assert.Equal(t, "2024-01-03", e.Days[0].String())
			assert.Equal(t, "21.5", e.Close[0].Decimal.String())
			break
		}
	}
	var p prices
	s.Get("/v1/prices/B", &p)
	assert.Equal(t, "21.5", p.Prices[1].Close)
}

func TestBigImportsTravelInChunks(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	var b strings.Builder
	b.WriteString("date,X\n")
	n := 0
	for year := 1900; year < 2020; year++ {
		for month := 1; month <= 12; month++ {
			for day := 1; day <= 28; day++ {
				_, _ = fmt.Fprintf(&b, "%04d-%02d-%02d,%d.%04d\n", year, month, day, n+1, n%10000)
				n++
			}
		}
	}
	s.Import(b.String(), "")
	assert.Equal(t, []summary{{"X", "1900-01-01", "2019-12-28", n}}, symbols(s))
	told := 0
	s.Eventually("all are told", func() bool {
		told = 0
		for _, line := range s.Log() {
			if line.Type == "marketdata.prices_imported" {
				assert.LessOrEqual(t, len(line.Data), 256<<10)
				var e events.PricesImported
				require.NoError(t, json.Unmarshal(line.Data, &e))
				told += len(e.Days)
			}
		}
		return told >= n
	})
	assert.Equal(t, n, told)
}

func TestBadFilesAreRefusedAndNothingIsWritten(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t, func(c *process.Config) { c.Options.Marketdata.MaxImportBytes = 1 << 20 })
	const head = "date,symbol,close\n2024-01-02,A,1\n"
	for _, c := range []struct {
		name, body string
		status     int
		line       int
	}{
		{"names of a price table", "Date,Open,High,Low,Settle\n2024-01-02,1,1,1,1\n", 422, 0},
		{"no close", "date,symbol,open\n2024-01-02,A,1\n", 422, 1},
		{"no header", "2024-01-02,A,1\n", 422, 1},
		{"a bad date", head + "2024-13-02,A,1\n", 422, 3},
		{"a day that is not", head + "2023-02-29,A,1\n", 422, 3},
		{"a negative close", head + "2024-01-03,A,-1\n", 422, 3},
		{"a close of zero", head + "2024-01-03,A,0\n", 422, 3},
		{"a missing close", head + "2024-01-03,A,\n", 422, 3},
		{"a word", head + "2024-01-03,A,nine\n", 422, 3},
		{"infinity", head + "2024-01-03,A,inf\n", 422, 3},
		{"a day twice", head + "2024-01-03,A,2\n2024-01-02,A,3\n", 422, 4},
		{"a column twice", "date,A,B,A\n2024-01-02,1,2,3\n", 422, 1},
		{"a long row", head + "2024-01-03,A,1,2\n", 422, 3},
		{"a short row", head + "2024-01-03,A\n", 422, 3},
		{"nothing", "", 422, 0},
		{"a header alone", "date,symbol,close\n", 422, 0},
		{"binary", "date,symbol,close\n2024-01-02,A,\x00\x01\n", 415, 0},
		{"a zip", "PK\x03\x04 and so on\n", 415, 0},
		{"JSON", `{"date":"2024-01-02"}`, 415, 0},
		{"one symbol without a name", "Date,Open,High,Low,Close\n2024-01-02,1,1,1,1\n", 422, 0},
		{"ambiguous dates", "date,symbol,close\n03/04/2024,A,1\n", 422, 2},
	} {
		t.Run("refuses "+c.name, func(t *testing.T) {
			a := s.Do(http.MethodPost, "/v1/prices", c.body, "Content-Type", "text/csv")
			require.Equal(t, c.status, a.Status, "%s", a.Body)
			p := a.Problem()
			assert.NotEmpty(t, p.Hint)
			if c.line > 0 {
				require.NotEmpty(t, p.Errors, "%s", a.Body)
				assert.Equal(t, c.line, p.Errors[0].Line, "%s", a.Body)
			}
		})
	}
	t.Run("lists the first twenty faults", func(t *testing.T) {
		a := s.Do(http.MethodPost, "/v1/prices", head+strings.Repeat("2024-01-03,A,x\n", 30), "Content-Type",
			"text/csv")
		p := a.Problem()
		assert.Len(t, p.Errors, 20)
		assert.Contains(t, p.Detail, "30")
	})
	t.Run("refuses a body without end before it is read", func(t *testing.T) {
		row := strings.NewReader("date,symbol,close\n")
		a := s.Send(http.MethodPost, "/v1/prices", io.MultiReader(row, &endless{}), "Content-Type", "text/csv")
		assert.Equal(t, http.StatusRequestEntityTooLarge, a.Status)
	})
	assert.Equal(t, http.StatusUnsupportedMediaType, s.Do(http.MethodPost, "/v1/prices", head).Status)
	assert.Equal(
		t, http.StatusUnprocessableEntity,
		s.Do(http.MethodPost, "/v1/prices?sybmol=A", head, "Content-Type", "text/csv").Status,
	)
	assert.Empty(t, symbols(s), "nothing was written")
	assert.Empty(t, s.Events())
}

// A client that sends all of its file before it reads, as many do, hears what is wrong with the first line.
func TestTheAnswerToABigBadFileArrives(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(stegatest.Patience)))
	line := []byte("2024-01-02,A,1\n")
	const lines = 2 << 20
	_, err = fmt.Fprintf(
		conn, "POST /v1/prices HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: text/csv\r\n"+
			"Content-Length: %d\r\n\r\n", s.Token, lines*len(line),
	)
	require.NoError(t, err)
	block := bytes.Repeat(line, 1<<10)
	for range lines >> 10 {
		_, err = conn.Write(block)
		require.NoError(t, err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	assert.Equal(t, http.StatusUnprocessableEntity, answer.StatusCode)
}

// endless is rows of prices until two gigabytes.
type endless struct{ rows int }

func (e *endless) Read(b []byte) (int, error) {
	const row = "2024-01-02,A000000,1\n"
	if e.rows > 2<<30/len(row) {
		return 0, io.EOF
	}
	n := 0
	for len(b)-n >= len(row) {
		n += copy(b[n:], fmt.Sprintf("2024-01-02,A%06d,1\n", e.rows%1_000_000))
		e.rows++
	}
	if n == 0 {
		n = copy(b, "\n")
	}
	return n, nil
}

func pull(s *stegatest.Server, body string) (status, code string) {
	op := s.Write(http.MethodPost, "/v1/prices/pull", body)
	if op.Error != nil {
		code = op.Error.Code
	}
	return string(op.Status), code
}

func TestPullFromAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stegatest.Up(t, func(c *process.Config) { c.Options.Marketdata.Folder = dir })
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("AAPL.csv", "Date,Open,High,Low,Close\n2024-01-02,1,2,1,2\n2024-01-03,2,3,2,3\n")
	write("wide.csv", "date,GOOG,TSLA\n2024-01-02,5,6\n2024-01-03,7,8\n")
	status, _ := pull(s, `{"kind":"backfill","symbols":["AAPL","goog"],"from":"2024-01-03"}`)
	require.Equal(t, "succeeded", status)
	assert.Equal(
		t, []summary{{"AAPL", "2024-01-03", "2024-01-03", 1}, {"GOOG", "2024-01-03", "2024-01-03", 1}}, symbols(s),
	)
	status, _ = pull(s, `{"kind":"backfill"}`) // of all that is known
	require.Equal(t, "succeeded", status)
	assert.Equal(t, 2, symbols(s)[0].Count)
	write("AAPL.csv", "Date,Close\n2024-01-04,4\n")
	status, _ = pull(s, `{"kind":"latest"}`)
	require.Equal(t, "succeeded", status)
	assert.Equal(t, "2024-01-04", symbols(s)[0].Last)

	status, code := pull(s, `{"kind":"backfill","symbols":["NONE"]}`)
	assert.Equal(t, "failed", status)
	assert.Equal(t, "symbol_unknown", code)
	write("broken.csv", "date,symbol,close\n2024-01-02,A,-1\n")
	status, code = pull(s, `{"kind":"latest"}`)
	assert.Equal(t, "failed", status)
	assert.Equal(t, "prices_invalid", code)
	for _, body := range []string{
		`{"kind":"sometimes"}`, `{"kind":"latest","from":"2024-01-01"}`, `{"kind":"backfill","from":"soon"}`,
		`{"kind":"latest","symbols":["A B"]}`,
	} {
		assert.Equal(t, http.StatusUnprocessableEntity, s.Do(http.MethodPost, "/v1/prices/pull", body).Status, body)
	}
}

func TestPullWithoutAProviderFailsWithWhatToDo(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	op := s.Write(http.MethodPost, "/v1/prices/pull", `{"kind":"latest","symbols":["A"]}`)
	require.NotNil(t, op.Error)
	assert.Equal(t, "provider_missing", op.Error.Code)
	assert.Contains(t, op.Error.Hint, "STEGA_EODHD_KEY")
}

func TestAPullSurvivesAnApiThatIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	away.Store(true)
	var asked atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(
			w, `[{"date":"2024-01-02","open":1,"high":2,"low":1,"close":1.5,"adjusted_close":1.4,"volume":10}]`,
		)
	}))
	defer api.Close()
	s := stegatest.Up(t, func(c *process.Config) {
		c.Options.Marketdata = marketdata.Options{
			EODHD: provider.EODHDOptions{BaseURL: api.URL, Key: "k", Retries: 1, MinWait: 1, MaxWait: 2},
		}
	})
	a := s.Do(http.MethodPost, "/v1/prices/pull", `{"kind":"backfill","symbols":["A"]}`)
	require.Equal(t, http.StatusAccepted, a.Status)
	s.Eventually("it was tried", func() bool { return asked.Load() > 3 })
	assert.Empty(t, symbols(s))
	away.Store(false)
	s.Eventually("it succeeded", func() bool { return len(symbols(s)) == 1 })
	var op struct{ Status string }
	s.Eventually("the operation succeeded", func() bool {
		s.Get(a.Header.Get("Location"), &op)
		return op.Status == "succeeded"
	})
}
