package optimization_test

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/govalues/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/internal/reference"
	"stega/internal/stegatest"
)

// A market-neutral portfolio in shares is worth weight·money in each position.
func TestMarketNeutralWeightsStayNeutralInShares(t *testing.T) {
	t.Parallel()
	w := environment{stegatest.Up(t), t, []string{"MA1", "MB1", "MC1"}}
	w.settled(w.Import(string(reference.Read(t, "market-neutral.csv")), ""))
	o := w.optimize(t, `"objective":"efficient_risk","target":0.02,"market_neutral":true`)
	for _, body := range []string{
		`{"amount":"100000"}`, `{"amount":"100000","method":"exact"}`, `{"amount":"100000","reinvest":true}`,
	} {
		answer := w.Do(http.MethodPost, "/v1/optimizations/"+o.ID+"/allocation", body)
		require.Equal(t, http.StatusOK, answer.Status, "%s", answer.Body)
		var a struct {
			allocation
			Cash decimal.Decimal
		}
		answer.JSON(&a)
		net, cash := 0.0, decimal.MustParse("100000")
		for _, p := range a.Positions {
			price, _ := p.Price.Float64()
			value, _ := p.Value.Float64()
			assert.InDelta(t, o.Weights[p.Symbol]*100_000, value, price, "%s: %s", body, p.Symbol)
			net += value
			var err error
			cash, err = cash.Sub(p.Value)
			require.NoError(t, err)
		}
		assert.InDelta(t, 0, net/100_000, .002, body)
		assert.Less(t, a.RMSE, .002, body)
		assert.Zero(t, cash.Cmp(a.Cash), body)
		left, _ := a.Leftover.Float64()
		assert.GreaterOrEqual(t, left, 0.0, body)
		assert.Less(t, left, 400., body)
	}
}

// assets imports 300 days of two shares and of cash, which grows by the same rate each day.
func assets(t *testing.T) environment {
	t.Helper()
	w := environment{stegatest.Up(t), t, []string{"EA", "EB", "ECASH"}}
	var file strings.Builder
	file.WriteString("date,EA,EB,ECASH\n")
	start, n := civil.Of(2023, 1, 2), 0
	for day := start; n < 300; day = day.AddDays(1) {
		if day.WeekEnd()-day < 2 {
			continue
		}
		x := float64(n)
		_, _ = fmt.Fprintf(&file, "%s,%.4f,%.4f,%.10f\n", day, 100+x/20+5*math.Sin(x), 80+x/40+4*math.Cos(1.3*x),
			100*math.Pow(1.0001, x))
		n++
	}
	w.settled(w.Import(file.String(), ""))
	return w
}

// A portfolio of cash has no risk, so that no ratio to its volatility is a figure.
func TestAPortfolioWithoutRiskHasNoRatios(t *testing.T) {
	t.Parallel()
	w := assets(t)
	for _, objective := range []string{"min_volatility", "min_cvar"} {
		a := w.optimize(t, `"objective":"`+objective+`"`)
		assert.InDelta(t, 1, a.Weights["ECASH"], 1e-4, objective)
		assert.Nil(t, a.Sharpe, objective)
		assert.Empty(t, a.RiskContributions, objective)
		assert.Contains(t, strings.Join(a.Notes, "\n"), "bears no risk", objective)
	}
	a := w.optimize(t, `"objective":"min_volatility","symbols":["EA","EB"]`)
	assert.NotNil(t, a.Sharpe)
	assert.Len(t, a.RiskContributions, 2)
}

// The prior of equal weights expects what a market of equal capitalizations implies, and not 1/n a year. Certain views
// that contradict each other are a fault.
func TestPriorsAndViews(t *testing.T) {
	t.Parallel()
	w := assets(t)
	const views = `"objective":"max_sharpe","symbols":["EA","EB"],"views":[{"symbol":"EA","return":0.05}],`
	same := w.optimize(t, views+`"prior":"equal"`)
	caps := w.optimize(t, views+`"prior":"market","market_caps":{"EA":7,"EB":7}`)
	assert.Equal(t, caps.AssetReturns, same.AssetReturns)

	body := w.body(t, `"objective":"max_sharpe","symbols":["EA","EB"],"views":[{"symbol":"EA","return":0.2,`+
		`"confidence":1},{"symbol":"EA","return":0.1,"confidence":1}]`)
	op := w.Write(http.MethodPost, "/v1/optimizations", body)
	require.NotNil(t, op.Error)
	assert.Contains(t, op.Error.Detail, "contradict")
}
