package optimization_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/stegatest"
)

// Errors of a request alone are refused at once, with the pointer of each.
func TestInvalidRequestsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	const ab = `"symbols":["A","B"],`
	const id = `"portfolio_id":"019b0000-0000-7000-8000-000000000001",`
	for _, c := range []struct{ body, pointer, detail string }{
		{`"objective":"hrp"`, "/symbols", "is missing"},
		{`"symbols":["A"],"objective":"hrp"`, "/symbols", "needs two"},
		{ab + id + `"objective":"hrp"`, "/symbols", "leave out one"},
		{`"symbols":["A","a"],"objective":"hrp"`, "/symbols/1", "repeated"},
		{`"symbols":["A","b c"],"objective":"hrp"`, "/symbols/1", "is not a symbol"},
		{`"portfolio_id":"7","objective":"hrp"`, "/portfolio_id", "is not the id"},
		{ab + `"objective":"best"`, "/objective", "min_volatility, max_sharpe"},
		{ab + `"risk_free":0`, "/objective", "is missing"},
		{ab + `"objective":"hrp","follow":true`, "/follow", "portfolio"},
		{id + `"objective":"frontier","follow":true`, "/follow", "portfolio"},
		{ab + `"objective":"efficient_return"`, "/target", "is missing"},
		{ab + `"objective":"efficient_risk","target":0`, "/target", "above zero"},
		{ab + `"objective":"max_sharpe","target":0.1`, "/target", "no effect"},
		{ab + `"objective":"max_sharpe","measure":"cvar"`, "/measure", "one of volatility"},
		{ab + `"objective":"max_sharpe","risk_aversion":1`, "/risk_aversion", "no effect"},
		{ab + `"objective":"max_utility","risk_aversion":0`, "/risk_aversion", "above zero"},
		{ab + `"objective":"max_sharpe","confidence":0.9`, "/confidence", "no effect"},
		{ab + `"objective":"min_cvar","confidence":95`, "/confidence", "between 0 and 1"},
		{ab + `"objective":"min_cvar","covariance":"oas"`, "/covariance", "no effect"},
		{ab + `"objective":"min_cvar","benchmark":0.1`, "/benchmark", "no effect"},
		{ab + `"objective":"max_sharpe","points":5`, "/points", "no effect"},
		{ab + `"objective":"frontier","points":1`, "/points", "from 2"},
		{ab + `"objective":"max_sharpe","risk_free":200`, "/risk_free", "a rate a year"},
		{ab + `"objective":"max_sharpe","expected_returns":"guess"`, "/expected_returns", "historical, arithmetic"},
		{ab + `"objective":"max_sharpe","return_span":5`, "/return_span", "no effect"},
		{ab + `"objective":"max_sharpe","expected_returns":"ema","return_span":0.5`, "/return_span", "1 or more"},
		{ab + `"objective":"max_sharpe","market":"SPY"`, "/market", "no effect"},
		{ab + `"objective":"max_sharpe","missing":"zero"`, "/missing", "no effect"},
		{ab + `"objective":"max_sharpe","covariance":"oas","missing":"pairwise"`, "/missing", "complete, zero"},
		{ab + `"objective":"max_sharpe","repair":"magic"`, "/repair", "spectral"},
		{ab + `"objective":"max_sharpe","linkage":"ward"`, "/linkage", "no effect"},
		{ab + `"objective":"hrp","bounds":[0,1]`, "/bounds", "no effect"},
		{ab + `"objective":"risk_parity","groups":[{"name":"g","symbols":["A"],"max":0.1}]`, "/groups", "no effect"},
		{ab + `"objective":"max_sharpe","budgets":{"A":1}`, "/budgets", "no effect"},
		{ab + `"objective":"risk_parity","budgets":{"A":-1}`, "/budgets/A", "below zero"},
		{ab + `"objective":"risk_parity","budgets":{"C":1}`, "/budgets/C", "not among the symbols"},
		{ab + `"objective":"max_sharpe","market_neutral":true`, "/market_neutral", "efficient_risk"},
		{ab + `"objective":"max_sharpe","l2":-1`, "/l2", "below zero"},
		{ab + `"objective":"frontier","transaction_costs":0.1`, "/transaction_costs", "no effect"},
		{ab + `"objective":"max_sharpe","current_weights":{"A":1}`, "/current_weights", "no effect"},
		{ab + `"objective":"max_sharpe","bounds":[0.5,0.1]`, "/bounds", "above the upper one"},
		{ab + `"objective":"max_sharpe","bounds":[0]`, "/bounds", "[lower, upper]"},
		{ab + `"objective":"max_sharpe","asset_bounds":{"A":[0.5,0.1]}`, "/asset_bounds/A", "above the upper one"},
		{ab + `"objective":"max_sharpe","asset_bounds":{"A":[0,1],"a":[0,1]}`, "/asset_bounds/a", "repeated"},
		{
			ab + `"objective":"max_sharpe","groups":[{"name":"g","symbols":["C"],"max":0.1}]`, "/groups/0/symbols/0",
			"not among the symbols",
		},
		{ab + `"objective":"max_sharpe","groups":[{"name":"g","symbols":["A"]}]`, "/groups/0", "neither min nor max"},
		{ab + `"objective":"max_sharpe","groups":[{"symbols":["A"],"max":0.1}]`, "/groups/0/name", "is missing"},
		{ab + `"objective":"max_sharpe","views":[{"return":0.1}]`, "/views/0", "is empty"},
		{
			ab + `"objective":"max_sharpe","views":[{"symbol":"A","over":"A","return":0.1}]`, "/views/0/over",
			"the same symbol",
		},
		{
			ab + `"objective":"max_sharpe","views":[{"symbol":"A","return":0.1,"confidence":2}]`, "/views/0/confidence",
			"from 0 to 1",
		},
		{
			ab +
				`"objective":"max_sharpe","views":[{"symbol":"A","return":0.1,"confidence":1},{"symbol":"B",` +
				`"return":0.1}]`,
			"/views/1/confidence", "for all views",
		},
		{
			ab + `"objective":"max_sharpe","views":[{"symbol":"A","return":0.1}],"prior":"market"`, "/market_caps",
			"is missing",
		},
		{ab + `"objective":"max_sharpe","tau":0.1`, "/tau", "no effect"},
		{ab + `"objective":"max_sharpe","from":"2024-02-01","to":"2024-01-01"`, "/from", "exchange them"},
		{ab + `"objective":"max_sharpe","from":"2024-02-30"`, "/from", "2024-02-30"},
		{ab + `"objective":"max_sharpe","timeout":10000`, "/timeout", "at most 600"},
		{ab + `"objective":"max_sharpe","risk_free":1e999`, "/risk_free", "1e999"},
		{ab + `"objective":"max_sharpe","riskfree":0`, "/riskfree", "is not known"},
		{ab + `"objective":"max_sharpe","name":"` + strings.Repeat("x", 201) + `"`, "/name", "200 characters"},
		// These constraints contradict each other for any returns.
		{ab + `"objective":"max_sharpe","bounds":[0,0.4]`, "/bounds", "upper bounds"},
		{ab + `"objective":"max_sharpe","bounds":[0.6,1]`, "/bounds", "lower bounds"},
		{ab + `"objective":"min_volatility","market_neutral":true,"bounds":[0,1]`, "/bounds", "lower bounds"},
		{
			ab + `"objective":"max_sharpe","bounds":[0,0.5],"groups":[{"name":"g","symbols":["A"],"min":0.6}]`,
			"/groups",
			"group g",
		},
	} {
		a := s.Do(http.MethodPost, "/v1/optimizations", "{"+c.body+"}")
		require.Equal(t, http.StatusUnprocessableEntity, a.Status, "%s: %s", c.body, a.Body)
		p := a.Problem()
		found := false
		for _, e := range p.Errors {
			found = found || e.Pointer == c.pointer && strings.Contains(e.Detail, c.detail)
		}
		assert.True(t, found, "%s: %s", c.body, a.Body)
		assert.NotEmpty(t, p.Detail)
	}
	assert.Equal(t, http.StatusBadRequest, s.Do(http.MethodPost, "/v1/optimizations", "{").Status)
	for _, path := range []string{"/v1/optimizations/019b0000-0000-7000-8000-000000000001", "/v1/optimizations/x"} {
		assert.Equal(t, http.StatusNotFound, s.Do(http.MethodGet, path, "").Status)
		assert.Equal(t, http.StatusNotFound, s.Do(http.MethodPost, path+"/allocation", `{"amount":"1"}`).Status)
		assert.Equal(t, http.StatusNotFound, s.Do(http.MethodPost, path+"/repeat", "").Status)
		for _, op := range []struct{ method, path, body string }{
			{http.MethodDelete, path, ""}, {http.MethodPut, path + "/follow", `{"follow":true}`},
		} {
			done := s.Write(op.method, op.path, op.body)
			require.NotNil(t, done.Error)
			assert.Equal(t, "optimization_unknown", done.Error.Code)
		}
	}
	assert.Equal(t, http.StatusUnprocessableEntity, s.Do(http.MethodPut, "/v1/optimizations/x/follow", `{}`).Status)
	assert.NotContains(t, strings.Join(s.Events(), "\n"), "optimization.completed")
}

// symbol returns the name of the symbol with a number.
func symbol(i int) string { return fmt.Sprintf("S%03d", i) }

// market returns a file of random prices of symbols, with one column each.
func market(n, days int, extra func(day int) []string, names ...string) string {
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	var b strings.Builder
	b.WriteString("date")
	prices := make([]float64, n)
	for i := range prices {
		prices[i] = 50 + 100*rng.Float64()
		b.WriteString("," + symbol(i))
	}
	for _, name := range names {
		b.WriteString("," + name)
	}
	b.WriteString("\n")
	written := 0
	for year := 2015; written < days; year++ {
		for month := 1; month <= 12 && written < days; month++ {
			for day := 1; day <= 28 && written < days; day++ {
				_, _ = fmt.Fprintf(&b, "%d-%02d-%02d", year, month, day)
				common := rng.NormFloat64() * .01
				for i := range prices {
					prices[i] *= 1 + .0003 + common + rng.NormFloat64()*.01
					_, _ = fmt.Fprintf(&b, ",%.4f", prices[i])
				}
				if extra != nil {
					b.WriteString("," + strings.Join(extra(written), ","))
				}
				b.WriteString("\n")
				written++
			}
		}
	}
	return b.String()
}

// Errors that depend on the data fail the operation, with a code and a hint, and the optimization has them too.
func TestFailuresThatDependOnTheData(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	w := environment{Server: s, t: t}
	// CASH does not move, TWIN is a copy of S000, EARLY ends before LATE begins, ONCE has one price, and DOUBLE doubles
	// every day.
	price := 100.0
	rng := rand.New(rand.NewPCG(7, 9))
	csv := market(3, 60, func(day int) []string {
		price = math.Round(price*(1+rng.NormFloat64()*.01)*10_000) / 10_000
		out := []string{
			"10", fmt.Sprintf("%.4f", price), fmt.Sprintf("%.4f", 2*price), "", "", "", strconv.FormatInt(1<<day, 10),
		}
		if day < 20 {
			out[3] = fmt.Sprintf("%.4f", price)
		} else if day > 30 {
			out[4] = fmt.Sprintf("%.4f", price)
		}
		if day == 5 {
			out[5] = "7"
		}
		return out
	}, "CASH", "ONE", "TWIN", "EARLY", "LATE", "ONCE", "DOUBLE")
	w.settled(s.Import(csv, ""))
	for _, c := range []struct{ settings, code, detail string }{
		{`"symbols":["S000","NOPE"],"objective":"hrp"`, "symbol_unknown", "NOPE"},
		{`"portfolio_id":"019b0000-0000-7000-8000-000000000001","objective":"hrp"`, "portfolio_unknown", "019b0000"},
		{`"symbols":["S000","ONCE"],"objective":"hrp"`, "observations_too_few", "ONCE"},
		{`"symbols":["S000","S001"],"objective":"hrp","from":"2030-01-01"`, "observations_too_few", "S000"},
		{
			`"symbols":["S000","S001"],"objective":"hrp","from":"2015-01-01","to":"2015-01-02"`, "observations_too_few",
			"2 days",
		},
		{`"symbols":["S000","EARLY","LATE"],"objective":"min_volatility"`, "observations_too_few", "EARLY and LATE"},
		{`"symbols":["S000","EARLY","LATE"],"objective":"min_cvar"`, "observations_too_few", "LATE begins"},
		{
			`"symbols":["S000","EARLY","LATE"],"objective":"min_volatility","covariance":"oas"`, "observations_too_few",
			"EARLY ends",
		},
		{`"symbols":["S000","CASH"],"objective":"hrp"`, "optimization_undefined", "CASH"},
		{`"symbols":["S000","CASH"],"objective":"risk_parity"`, "optimization_undefined", "CASH"},
		{`"symbols":["S000","S001"],"objective":"efficient_return","target":50`, "optimization_infeasible",
			"best asset"},
		{
			`"symbols":["S000","S001"],"objective":"efficient_risk","target":0.001`, "optimization_infeasible",
			"target volatility",
		},
		{`"symbols":["CASH","S002"],"objective":"max_sharpe","risk_free":0.99`, "optimization_infeasible",
			"risk-free rate"},
		{
			`"symbols":["S000","S001","S002"],"objective":"min_volatility",` +
				`"groups":[{"name":"g","symbols":["S000","S001"],"max":0.2}],"bounds":[0,0.7]`,
			"optimization_infeasible", "group g",
		},
		{
			`"symbols":["CASH","DOUBLE"],"objective":"max_utility","expected_returns":"arithmetic",` +
				`"bounds":[null,null]`,
			"optimization_unbounded", "without risk",
		},
	} {
		op := s.Write(http.MethodPost, "/v1/optimizations", "{"+c.settings+"}")
		if !assert.NotNil(t, op.Error, c.settings) {
			continue
		}
		assert.Equal(t, c.code, op.Error.Code, "%s: %v", c.settings, op.Error)
		assert.Contains(t, op.Error.Detail, c.detail)
		assert.NotEmpty(t, op.Error.Hint)
		var a answer
		s.Get("/v1/optimizations/"+op.EntityID, &a)
		assert.Equal(t, "failed", a.Status)
		require.NotNil(t, a.Error)
		assert.Equal(t, c.code, a.Error.Code)
	}
	t.Run("doubtful results have notes", func(t *testing.T) {
		notes := func(settings string) string { return strings.Join(w.optimize(t, settings).Notes, "\n") }
		assert.Contains(t, notes(`"symbols":["S000","CASH"],"objective":"min_volatility"`), "CASH are constant")
		assert.Contains(t, notes(`"symbols":["S000","ONE","TWIN"],"objective":"min_volatility"`), "singular")
		assert.Contains(
			t, notes(`"symbols":["S000","S001","S002"],"objective":"min_volatility","to":"2015-01-04"`),
			"only 3 daily returns",
		)
		calm := w.optimize(t, `"symbols":["S000","CASH"],"objective":"min_volatility"`)
		assert.InDelta(t, 1, calm.Weights["CASH"], 1e-6)
	})
	t.Run("a matrix of pairs over different days is repaired", func(t *testing.T) {
		const three = `"symbols":["S000","S001","EARLY"],"objective":"min_volatility"`
		a := w.optimize(t, three)
		assert.Equal(t, 19, a.Data.CommonObservations)
		assert.Equal(t, 59, a.Data.Observations)
	})
	assert.NotContains(t, strings.Join(s.Events(), "\n"), "optimization.failed")
}
