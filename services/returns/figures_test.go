package returns_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"stega/civil"
	"stega/internal/reference"
	"stega/internal/stegatest"
)

// The tail has ⌊(n−1)·(1−confidence)⌋+1 returns, counted exactly: of 11 returns, the two worst at 0.9 and the three
// worst at 0.8.
func TestTheTailOfACVaRIsCountedExactly(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	s.Import(string(reference.Read(t, "cvar-confidence-0.9.csv")), "")
	s.Found("/v1/returns/assets/CV", &struct{}{})
	for query, want := range map[string]float64{
		"confidence=0.9": (-.05 - .03) / 2, "confidence=0.8": (-.05 - .03 - .02) / 3, "confidence=0.95": -.05,
	} {
		body := s.Do("GET", "/v1/returns/assets/CV?"+query, "").Body
		assert.InDelta(t, want, at(t, body, "historical_cvar"), 1e-7, query)
	}
}

// The longest drawdown is that of the list of drawdowns, and 0 without one.
func TestTheLongestDrawdownIsThatOfTheList(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	s.Import(string(reference.Read(t, "longest-drawdown-rounding.csv")), "")
	s.Import("date,STILL,RISE\n2024-01-01,100,100\n2024-01-02,100,101\n2024-01-03,100,102.7\n", "")
	for symbol, want := range map[string]int{"LDD": 4, "STILL": 0, "RISE": 0} {
		s.Found("/v1/returns/assets/"+symbol, &struct{}{})
		body := s.Do("GET", "/v1/returns/assets/"+symbol, "").Body
		assert.InDelta(t, want, at(t, body, "longest_drawdown"), 0, symbol)
		var list struct{ Drawdowns []struct{ Length int } }
		s.Get("/v1/returns/assets/"+symbol+"/drawdowns", &list)
		longest := 0
		for _, d := range list.Drawdowns {
			longest = max(longest, d.Length)
		}
		assert.Equal(t, want, longest, symbol)
	}
}

// A money market fund grows by the same rate each day, but for the last digit of its prices. Ratios to that rounding
// are no figures.
func TestRatiosToNoiseAreUndefined(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	var file strings.Builder
	file.WriteString("date,FUND,SHARE\n")
	start := civil.Of(2023, 1, 2)
	for day := range 300 {
		_, _ = fmt.Fprintf(&file, "%s,%.8f,%.2f\n", start.AddDays(day), 100*math.Pow(1.0001, float64(day)),
			100+5*math.Sin(float64(day)))
	}
	s.Import(file.String(), "")
	s.Found("/v1/returns/assets/FUND", &struct{}{})
	s.Found("/v1/returns/assets/SHARE", &struct{}{})
	body := s.Do("GET", "/v1/returns/assets/FUND?benchmark=FUND", "").Body
	for _, name := range []string{"sharpe", "sortino", "calmar", "omega", "skewness", "kurtosis", "adjusted_sharpe",
		"burke_ratio", "gain_loss_ratio", "benchmark.beta", "benchmark.correlation", "benchmark.information_ratio"} {
		assert.True(t, math.IsNaN(at(t, body, name)), name)
	}
	assert.InDelta(t, math.Pow(1.0001, 299)-1, at(t, body, "cumulative_return"), 1e-9)
	body = s.Do("GET", "/v1/returns/assets/SHARE?benchmark=FUND", "").Body
	assert.False(t, math.IsNaN(at(t, body, "sharpe")))
	assert.True(t, math.IsNaN(at(t, body, "benchmark.beta")))
	assert.True(t, math.IsNaN(at(t, body, "benchmark.correlation")))
}

// Annual figures are of time that passed: half of the quotes, months or every day of the week change the returns in a
// year, and not the figures of the year. The expected values are computed from the prices of the file and calendar
// days.
func TestAnnualFiguresAreOfTimeThatPassed(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	for file, symbols := range map[string][]string{
		"thin.csv": {"FULL1", "THIN1"}, "monthly.csv": {"MONTHLY1"}, "crypto-365.csv": {"CRYPT"},
	} {
		s.Import(string(reference.Read(t, file)), "")
		for _, symbol := range symbols {
			s.Found("/v1/returns/assets/"+symbol, &struct{}{})
		}
	}
	for _, c := range []struct {
		of, statistic string
		want, within  float64
	}{
		{"FULL1", "periods_per_year", 252, 0}, {"FULL1", "annual_return", .1958, .01},
		{"FULL1", "annual_volatility", .1607, .0002},
		{"THIN1", "annual_return", .20, .01}, {"THIN1", "annual_volatility", .1607, .03},
		{"MONTHLY1", "periods_per_year", 12, 0}, {"MONTHLY1", "annual_return", .249, .0006},
		{"MONTHLY1", "annual_volatility", .157, .0006}, {"MONTHLY1", "sharpe", 1.50, .006},
		{"CRYPT", "periods_per_year", 365, 0}, {"CRYPT", "annual_return", -.5025, .002},
		{"CRYPT", "annual_volatility", .439, .001}, {"CRYPT", "sharpe", -1.37, .01},
		{"CRYPT?periods_per_year=252", "annual_return", -.382, .001},
	} {
		body := s.Do("GET", "/v1/returns/assets/"+c.of, "").Body
		assert.InDelta(t, c.want, at(t, body, c.statistic), c.within, "%s %s", c.of, c.statistic)
	}
	for of, note := range map[string]string{
		"THIN1": "irregular", "MONTHLY1": "monthly", "CRYPT": "every day", "MONTHLY1?frequency=monthly": "short",
		"FULL1?to=2025-01-31": "end on",
	} {
		var a struct{ Notes []string }
		s.Get("/v1/returns/assets/"+of, &a)
		assert.Contains(t, strings.Join(a.Notes, "\n"), note, of)
	}
	var full struct{ Notes []string }
	s.Get("/v1/returns/assets/FULL1", &full)
	assert.Empty(t, full.Notes)
	refused := s.Do("GET", "/v1/returns/assets/FULL1?risk_free=2", "")
	assert.Equal(t, 422, refused.Status)
	assert.Contains(t, string(refused.Body), "0.02 is 2 %")
}
