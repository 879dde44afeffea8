package optimization_test

import (
	"net/http"
	"testing"

	"github.com/govalues/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/stegatest"
)

// allocation holds the fields of an answer that the tests check.
type allocation struct {
	AsOf      string `json:"as_of"`
	Positions []struct {
		Symbol       string
		Shares       int64
		Price, Value decimal.Decimal
	}
	Leftover decimal.Decimal
	RMSE     float64
	Exact    bool
}

func (a allocation) shares() map[string]int64 {
	out := map[string]int64{}
	for _, p := range a.Positions {
		out[p.Symbol] = p.Shares
	}
	return out
}

// total returns the exact value of the positions and the money that is left.
func (a allocation) total(t *testing.T) string {
	t.Helper()
	sum := a.Leftover
	for _, p := range a.Positions {
		value, err := p.Price.Mul(decimal.MustNew(p.Shares, 0))
		require.NoError(t, err)
		assert.Zero(t, value.Cmp(p.Value), p.Symbol)
		sum, err = sum.Add(p.Value.Abs())
		require.NoError(t, err)
	}
	return sum.Trim(0).String()
}

// The expected shares come from rows C31 and C32 of the reference tables.
func TestWholeShares(t *testing.T) {
	t.Parallel()
	w := stocks(t)
	allocate := func(id, body string) (a allocation) {
		answer := w.Do(http.MethodPost, "/v1/optimizations/"+id+"/allocation", body)
		require.Equal(t, http.StatusOK, answer.Status, "%s", answer.Body)
		answer.JSON(&a)
		return a
	}
	long := w.optimize(t, `"objective":"max_sharpe","risk_free":0.02`)
	a := allocate(long.ID, `{"amount":"10000"}`)
	assert.Equal(
		t, map[string]int64{"MA": 20, "FB": 12, "PFE": 54, "BABA": 4, "AAPL": 4, "BBY": 2, "SBUX": 1, "GOOG": 1},
		a.shares(),
		"C31",
	)
	assert.InDelta(t, 0.017086185150415774, a.RMSE, 1e-5, "C31")
	assert.Equal(t, "10000", a.total(t))
	assert.Equal(t, "2018-04-11", a.AsOf)
	assert.False(t, a.Exact)
	e := allocate(long.ID, `{"amount":10000,"method":"exact"}`)
	assert.True(t, e.Exact)
	assert.Equal(t, "10000", e.total(t))

	short := w.optimize(t, `"objective":"max_sharpe","risk_free":0.02,"bounds":[-1,1]`)
	a = allocate(short.ID, `{"amount":"10000","short_ratio":"0.3"}`)
	assert.Equal(t, map[string]int64{
		"MA": 19, "PFE": 42, "FB": 7, "GOOG": 1, "BABA": 5, "AAPL": 4, "SBUX": 8, "BBY": 6, "XOM": 4, "WMT": 3,
		"BAC": -32, "AMD": -48, "SHLD": -132, "GM": -9, "RRC": -19, "GE": -14, "T": -5, "UAA": -8,
	}, a.shares(), "C32")
	assert.InDelta(t, 0.06063511265243106, a.RMSE, 1e-5, "C32")
	assert.Equal(t, "13000", a.total(t))
	a = allocate(short.ID, `{"amount":"10000","short_ratio":"0.3","reinvest":true}`)
	assert.Equal(t, "16000", a.total(t))
	allocate(short.ID, `{"amount":"10000"}`)
	assert.Empty(t, allocate(long.ID, `{"amount":"0.5"}`).Positions, "the amount is too small for one share")

	edge := w.optimize(t, `"objective":"frontier","points":2`)
	for _, c := range []struct {
		id, body, code string
		status         int
	}{
		{long.ID, `{}`, "allocation_invalid", http.StatusUnprocessableEntity},
		{long.ID, `{"amount":"-5"}`, "allocation_invalid", http.StatusUnprocessableEntity},
		{long.ID, `{"amount":"2000000000000"}`, "allocation_invalid", http.StatusUnprocessableEntity},
		{long.ID, `{"amount":"5","method":"best"}`, "allocation_invalid", http.StatusUnprocessableEntity},
		{long.ID, `{"amount":"5","short_ratio":"0.3"}`, "allocation_invalid", http.StatusUnprocessableEntity},
		{long.ID, `{"amount":"5","reinvest":true}`, "allocation_invalid", http.StatusUnprocessableEntity},
		{short.ID, `{"amount":"5","short_ratio":"0"}`, "allocation_invalid", http.StatusUnprocessableEntity},
		{edge.ID, `{"amount":"5"}`, "weights_missing", http.StatusConflict},
	} {
		answer := w.Do(http.MethodPost, "/v1/optimizations/"+c.id+"/allocation", c.body)
		assert.Equal(t, c.status, answer.Status, "%s: %s", c.body, answer.Body)
		assert.Equal(t, c.code, answer.Problem().Code, c.body)
	}
}

// The benchmarks optimize many assets while a client waits.
func BenchmarkMaxSharpeOf500(b *testing.B)    { measure(b, `"objective":"max_sharpe"`) }
func BenchmarkHierarchicalOf500(b *testing.B) { measure(b, `"objective":"hrp"`) }

// measure measures a request until its answer, for 500 symbols over 1000 days.
func measure(b *testing.B, settings string) {
	s := stegatest.Up(b)
	w := environment{Server: s, t: b}
	for i := range 500 {
		w.symbols = append(w.symbols, symbol(i))
	}
	w.settled(s.Import(market(500, 1000, nil), ""))
	body := w.body(b, settings)
	for b.Loop() {
		op := s.Write(http.MethodPost, "/v1/optimizations", body)
		require.Nil(b, op.Error)
		var a struct {
			TookMS float64 `json:"took_ms"`
		}
		s.Get("/v1/optimizations/"+op.EntityID, &a)
		b.ReportMetric(a.TookMS, "ms/job")
	}
}
