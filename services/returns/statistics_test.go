package returns_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/internal/reference"
	"stega/internal/stegatest"
	"stega/quant"
)

// market collects prices of symbols as a file.
type market struct{ text strings.Builder }

// add adds prices of a symbol with the given returns between the days.
func (m *market) add(symbol string, days []civil.Date, returns []float64) {
	if m.text.Len() == 0 {
		m.text.WriteString("date,symbol,close\n")
	}
	price := 100.0
	for i, day := range days {
		if i > 0 {
			price *= 1 + returns[i-1]
		}
		_, _ = fmt.Fprintf(&m.text, "%s,%s,%s\n", day, symbol, strconv.FormatFloat(price, 'g', 16, 64))
	}
}

// every returns n days, step days apart.
func every(start civil.Date, n, step int) []civil.Date {
	days := make([]civil.Date, n)
	for i := range days {
		days[i] = start.AddDays(i * step)
	}
	return days
}

// months returns the last days of n months.
func months(n int) []civil.Date {
	days := make([]civil.Date, n)
	for i := range days {
		days[i] = civil.Of(2000, time.Month(i+1), 0)
	}
	return days
}

func percents(values ...float64) []float64 {
	for i := range values {
		values[i] /= 100
	}
	return values
}

// at returns a number of an answer by its path, such as benchmark.beta, and NaN for null.
func at(t *testing.T, body []byte, path string) float64 {
	t.Helper()
	for name := range strings.SplitSeq(path, ".") {
		var fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(body, &fields), "%s", body)
		require.Contains(t, fields, name, "%s", body)
		body = fields[name]
	}
	if string(body) == "null" {
		return math.NaN()
	}
	var v float64
	require.NoError(t, json.Unmarshal(body, &v), "%s: %s", path, body)
	return v
}

// The cases are rows of tables D, F and G of the reference. Rows whose first return is missing are left out: there, it
// counts as time, and no prices give such a series.
func TestStatisticsMatchTheReference(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	var m market
	start := civil.Of(2020, 1, 6) // a Monday
	mixed, negative := percents(1, 10, -4, 2, 3, 2, 1, -10), percents(0, -6, -7, -1, -9, -2, -6, -8, -5)
	allNegative, positive := percents(-2, -6, -7, -1, -9, -2, -6, -8, -5), percents(1, 2, 1, 1, 1, 1, 1, 1, 1)
	withStart := percents(0, 1, 10, -4, 2, 3, 2, 1, -10)
	m.add("MIXED", every(start.AddDays(1), 9, 1), mixed)
	m.add("NEGATIVE", every(start, 10, 1), negative)
	m.add("ALLNEG", every(start, 10, 1), allNegative)
	m.add("POSITIVE", every(start, 10, 1), positive)
	m.add("FLAT1", every(start, 10, 1), percents(1, 1, 1, 1, 1, 1, 1, 1, 1))
	m.add("UDU", every(start, 4, 1), percents(10, -10, 10))
	m.add("BENCH", every(civil.Of(2000, 1, 29), 10, 1), percents(0, 1, 0, 1, 0, 1, 0, 1, 0))
	m.add("WEEKLY", every(start, 10, 7), withStart)
	m.add("MONTHLY", months(10), withStart)
	m.add(
		"ONE", every(start, 9, 1),
		[]float64{-0.00171614, 0.01322056, 0.03063862, -0.01422057, -0.00489779, 0.01268925, -0.03357711, 0.01797036},
	)
	m.add(
		"TWO", every(start, 9, 1),
		[]float64{0.01846232, 0.00793951, -0.01448395, 0.00422537, -0.00339611, 0.03756813, 0.0151531, 0.03549769},
	)
	bacon := column(t, "portfolio_bacon.csv", 1)
	m.add("BACON", months(25), bacon)
	m.add("INDEX", months(25), column(t, "portfolio_bacon.csv", 2))
	m.add("ARB", months(101), column(t, "edhec.csv", 1)[:100])
	s.Import(m.text.String(), "")
	s.Import(string(reference.Read(t, "ffn_prices.csv")), "?date_format=M/D/YYYY")
	s.Found("/v1/returns/assets/C", &struct{}{})
	s.Found("/v1/returns/assets/ARB", &struct{}{})

	mar := "&required=" + strconv.FormatFloat(math.Pow(1.005, 12)-1, 'g', 17, 64)
	bars := "BACON?frequency=monthly&benchmark=INDEX" + mar
	for _, c := range []struct {
		row, of, statistic string
		want, within       float64
	}{
		{"D6", "MIXED", "max_drawdown", -.1, 1e-8},
		{"D6", "POSITIVE", "max_drawdown", 0, 1e-8},
		{"D6", "NEGATIVE", "max_drawdown", -.36590730, 1e-8},
		{"D6", "ALLNEG", "max_drawdown", -.378589157, 1e-8},
		{"D6", "UDU", "max_drawdown", -.10, 1e-8},
		{"D7 weekly", "WEEKLY?frequency=weekly", "annual_return", .24690830513998208, 1e-8},
		{"D7 monthly", "MONTHLY?frequency=monthly", "annual_return", .052242061386048144, 1e-8},
		{"D8", "MIXED", "annual_volatility", .9136465399704637, 1e-8},
		{"D8 weekly", "WEEKLY?frequency=weekly", "annual_volatility", .38851569394870583, 1e-8},
		{"D8 monthly", "MONTHLY?frequency=monthly", "annual_volatility", .18663690238892558, 1e-8},
		{"D9 weekly", "WEEKLY?frequency=weekly", "calmar", 2.4690830513998208, 1e-8},
		{"D9 monthly", "MONTHLY?frequency=monthly", "calmar", .52242061386048144, 1e-8},
		{"D10", "MIXED?required=10", "omega", .83354263497557934, 1e-8},
		{"D11", "MIXED", "sharpe", 1.7238613961706866, 1e-8},
		{"D11", "POSITIVE", "sharpe", 52.915026221291804, 1e-7},
		{"D11", "NEGATIVE", "sharpe", -24.406808633910085, 1e-8},
		{"D12", "MIXED", "downside_risk", .60448325038829653, 1e-8},
		{"D12 weekly", "WEEKLY?frequency=weekly", "downside_risk", .25888650450131924, 1e-7},
		{"D12 monthly", "MONTHLY?frequency=monthly", "downside_risk", .1243650540411842, 1e-8},
		{"D13", "ONE", "downside_risk", .20671788246185202, 1e-8},
		{"D13", "TWO", "downside_risk", .083495680595704475, 1e-8},
		{"D14", "MIXED", "sortino", 2.605531251673693, 1e-8},
		{"D14", "NEGATIVE", "sortino", -13.532743075043401, 1e-8},
		{"D14 weekly", "WEEKLY?frequency=weekly", "sortino", 1.1158901056866439, 1e-8},
		{"D14 monthly", "MONTHLY?frequency=monthly", "sortino", .53605626741889756, 1e-8},
		{"D15", "ONE", "sortino", 3.0639640966566306, 1e-8},
		{"D15", "TWO", "sortino", 38.090963117002495, 1e-7},
		{"D16", "MIXED?benchmark=FLAT1", "benchmark.information_ratio", -.06515583641446039 * math.Sqrt(252), 1e-8},
		{"D17", "MIXED?benchmark=NEGATIVE", "benchmark.alpha", -.9997853834885004, 1e-8},
		{"D17", "MIXED?benchmark=NEGATIVE", "benchmark.beta", -.71296296296296313, 1e-8},
		{"D18", "MIXED", "stability", .1529973665111273, 1e-8},
		{"D19", "MIXED", "tail_ratio", .9473684210526313, .05},
		{"D23", "ALLNEG?benchmark=MIXED", "benchmark.down_capture", .99956025703798634, 1e-8},
		{"D23", "ALLNEG?benchmark=MIXED", "benchmark.up_capture", -.0004336328, 1e-8},
		{"D23", "ALLNEG?benchmark=MIXED", "benchmark.capture_ratio", -.0004338236, 1e-8},
		{"D24", "POSITIVE?benchmark=MIXED", "benchmark.down_capture", -11.27400221, 1e-7},
		{"D24", "POSITIVE?benchmark=MIXED", "benchmark.up_capture", .0076167762, 1e-8},
		{"D26", "MIXED?benchmark=POSITIVE", "benchmark.up_alpha", .432961242076658, 1e-8},
		{"D26", "MIXED?benchmark=POSITIVE", "benchmark.up_beta", .4285714285, 1e-8},
		{"F32", "AAPL", "cagr", .440, 1e-3},
		{"F32", "MSFT", "cagr", .041, 1e-3},
		{"F32", "C", "cagr", -.205, 1e-3},
		{"F33", "AAPL?to=2004-03-23", "max_drawdown", -.086, 1e-3},
		{"F33", "MSFT?to=2004-03-23", "max_drawdown", -.048, 1e-3},
		{"F33", "C?to=2004-03-23", "max_drawdown", -.033, 1e-3},
		{"F33", "AAPL?to=2004-03-24", "cumulative_return", -.079, 1e-3},
		{"F33", "MSFT?to=2004-03-24", "cumulative_return", -.038, 1e-3},
		{"F33", "C?to=2004-03-24", "cumulative_return", .012, 1e-3},
		{"G1", bars, "adjusted_sharpe", .7591435, 1e-7},
		{"G2", bars, "benchmark.appraisal_ratio", -.430, 1e-3},
		{"G3", bars, "gain_loss_ratio", 1.78, .01},
		{"G4", bars, "burke_ratio", .74, .01},
		{"G4", bars, "modified_burke_ratio", 3.65, .01},
		{"G5", bars, "benchmark.regression_epsilon", -.013, 1e-3},
		{"G5", bars, "benchmark.jensen_alpha", -.014, 1e-3},
		{"G6", bars, "d_ratio", .401, 1e-3},
		{"G7", bars, "downside_deviation", .0255, 1e-4},
		{"G7", bars, "downside_potential", .0137, 1e-4},
		{"G8", bars, "downside_frequency", .458, 1e-3},
		{"G8", bars, "upside_frequency", .542, 1e-3},
		{"G9", bars, "benchmark.fama_beta", 1.03, .01},
		{"G9", bars, "benchmark.systematic_risk", .13, .01},
		{"G9", bars, "benchmark.specific_risk", .0329, 1e-4},
		{"G9", bars, "benchmark.total_risk", .134, 1e-3},
		{"G11", bars, "benchmark.m2_sortino", .1035, 1e-4},
		{"G11", bars, "benchmark.m_squared", .10062, 1e-5},
		{"G12", bars, "martin_ratio", 1.70, .01},
		{"G12", bars, "pain_index", .04, .01},
		{"G12", bars, "pain_ratio", 2.59, .01},
		{"G13", bars, "mean_absolute_deviation", .0310, 1e-4},
		{"G15", bars, "benchmark.omega_excess_return", .0805, 1e-4},
		{"G15", bars, "omega_sharpe", .29, .01},
		{"G17", bars, "skewness_kurtosis_ratio", -.034, 1e-3},
		{"G17", bars, "sample_kurtosis", 3.03, .01},
		{"G17", bars, "sample_excess_kurtosis", -.41, .01},
		{"G18", bars, "benchmark.modified_treynor_ratio", .7975, 1e-4},
		{"G19", bars, "upside_risk", .02937, 1e-5},
		{"G19", bars, "upside_variance", .000862792, 1e-8},
		{"G19", bars, "upside_potential", .01771, 1e-5},
		{"G22", "ARB?frequency=monthly", "gaussian_var", -.012133, 1e-6},
		{"G22", "ARB?frequency=monthly", "modified_var", -.014674, 1e-6},
		{"G22", "ARB?frequency=monthly", "historical_var", -.014095, 1e-6},
		{"G24", "ARB?frequency=monthly", "gaussian_cvar", -.017133, 1e-6},
		{"G24", "ARB?frequency=monthly", "historical_cvar", -.024080, 1e-6},
	} {
		query := c.of
		if !strings.Contains(query, "frequency") { // the reference has 252, on any days
			query += map[bool]string{true: "&", false: "?"}[strings.Contains(query, "?")] + "periods_per_year=252"
		}
		a := s.Do(http.MethodGet, "/v1/returns/assets/"+query, "")
		require.Equal(t, http.StatusOK, a.Status, "%s: %s", c.of, a.Body)
		assert.InDelta(t, c.want, at(t, a.Body, c.statistic), c.within, "%s %s %s", c.row, c.of, c.statistic)
	}

	for _, c := range []struct {
		row, of string
		want    []float64
		within  float64
	}{
		{"D21", "NEGATIVE/rolling?periods_per_year=252&window=6&metric=max_drawdown",
			[]float64{-.2282, -.2745, -.2899, -.2747}, 1e-4},
		{"D22", "NEGATIVE/rolling?periods_per_year=252&window=6",
			[]float64{-18.09162052, -26.79897486, -26.69138263, -25.72298838}, 1e-7},
		{"D22", "MIXED/rolling?periods_per_year=252&window=6&metric=sharpe",
			[]float64{8.22784105, 8.22784105, -3.1374751}, 1e-7},
		{"D25", "MIXED/rolling?periods_per_year=252&window=6&metric=alpha&benchmark=NEGATIVE",
			[]float64{-.9828927, -.93166924, -.99967288},
			1e-8},
		{"D25", "MIXED/rolling?periods_per_year=252&window=6&metric=beta&benchmark=NEGATIVE",
			[]float64{-.76156584, -.61682243, -.41311475},
			1e-8},
		{"D4 weekly", "BENCH/series?frequency=weekly", []float64{0, .040604010000000024, 0}, 1e-12},
		{"D4 monthly", "BENCH/series?frequency=monthly", []float64{.01, .03030099999999991}, 1e-12},
		{
			"D1", "MIXED/series?kind=cumulative",
			[]float64{0, .01, .111, .066559, .08789, .12052, .14293, .15436, .03893}, 1e-4,
		},
		{
			"D3", "NEGATIVE/series?kind=cumulative",
			[]float64{0, 0, -.06, -.1258, -.13454, -.21243, -.22818, -.27449, -.33253, -.36590}, 1e-4,
		},
	} {
		var got struct{ Values []float64 }
		s.Get("/v1/returns/assets/"+c.of, &got)
		assert.InDeltaSlice(t, c.want, got.Values, c.within, "%s %s", c.row, c.of)
	}
	var yearly struct{ Years []struct{ Return float64 } }
	s.Get("/v1/returns/assets/MONTHLY/table?by=yearly", &yearly)
	require.Len(t, yearly.Years, 1)
	assert.InDelta(t, .038931091700480147, yearly.Years[0].Return, 1e-12, "D5 yearly")
}

// column returns a column of a file of the reference.
func column(t *testing.T, file string, n int) (values []float64) {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(reference.Read(t, file))).ReadAll()
	require.NoError(t, err)
	for _, row := range rows[1:] {
		v, err := strconv.ParseFloat(row[n], 64)
		require.NoError(t, err)
		values = append(values, v)
	}
	return values
}

// walk adds a random walk of a symbol, without prices on a share of the days.
func (m *market) walk(rng *rand.Rand, symbol string, days []civil.Date, gaps float64) {
	var kept []civil.Date
	var returns []float64
	for _, day := range days {
		if rng.Float64() < gaps {
			continue
		}
		kept = append(kept, day)
		returns = append(returns, rng.NormFloat64()*0.02+0.0005)
	}
	m.add(symbol, kept, returns[1:])
}

type shown struct {
	Dates     []string
	Values    []float64
	Benchmark struct{ Values []float64 }
}

// For any window, frequency and parameters, the statistics equal those that quant computes from the answered series.
func TestStatisticsMatchTheSeriesOfTheAnswer(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	rng := rand.New(rand.NewPCG(5, 8))
	var m market
	days := every(civil.Of(2021, 3, 1), 500, 1)
	m.walk(rng, "A", days, 0)
	m.walk(rng, "B", days, 0.1)
	m.walk(rng, "C", days[100:], 0.05)
	s.Import(m.text.String(), "")
	id := s.Portfolio(
		`{"name":"p","assets":[{"symbol":"A","weight":"0.7"},{"symbol":"B","weight":"0.5"},{"symbol":"C",` +
			`"weight":"-0.2"}]}`,
	)
	s.Found("/v1/returns/portfolios/"+id, &struct{}{})
	for _, symbol := range []string{"A", "B", "C"} {
		s.Found("/v1/returns/assets/"+symbol, &struct{}{})
	}
	periods := map[string]float64{"daily": quant.Daily, "weekly": quant.Weekly, "monthly": quant.Monthly}
	subjects := []string{"assets/A", "assets/B", "assets/C", "portfolios/" + id}
	benchmarks := []string{"a", "B", "C", id}
	for range 40 {
		target, benchmark := subjects[rng.IntN(4)], benchmarks[rng.IntN(4)]
		frequency := []string{"daily", "weekly", "monthly"}[rng.IntN(3)]
		annual, required, confidence := rng.Float64()*0.1, rng.Float64()*0.2, 0.8+rng.Float64()*0.19
		window := fmt.Sprintf("?frequency=%s&from=%s&to=%s", frequency, days[rng.IntN(100)], days[400+rng.IntN(99)])
		path := "/v1/returns/" + target
		answer := s.Do(
			http.MethodGet,
			fmt.Sprintf(
				"%s%s&benchmark=%s&risk_free=%g&required=%g&confidence=%g&periods_per_year=%g", path, window,
				benchmark, annual, required, confidence, periods[frequency],
			),
			"",
		)
		require.Equal(t, http.StatusOK, answer.Status, "%s", answer.Body)
		var own, both shown
		s.Get(path+"/series"+window, &own)
		s.Get(path+"/series"+window+"&benchmark="+benchmark, &both)
		r, x, y, p := own.Values, both.Values, both.Benchmark.Values, periods[frequency]
		rf, mar := quant.PerPeriod(annual, p), quant.PerPeriod(required, p)
		depth, _, _, _ := quant.MaxDrawdown(r)
		alpha, beta := quant.AlphaBeta(x, y, rf, p)
		for name, want := range map[string]float64{
			"observations":                float64(len(r)),
			"annual_return":               quant.AnnualReturn(r, p),
			"arithmetic_return":           quant.ArithmeticReturn(r, p),
			"annual_volatility":           quant.AnnualVolatility(r, p),
			"sharpe":                      quant.Sharpe(r, rf, p),
			"sortino":                     quant.Sortino(r, mar, p),
			"calmar":                      quant.Calmar(r, p),
			"omega":                       quant.Omega(r, mar),
			"downside_risk":               quant.DownsideRisk(r, mar, p),
			"max_drawdown":                depth,
			"skewness":                    quant.Skewness(r),
			"sample_skewness":             quant.SampleSkewness(r),
			"excess_kurtosis":             quant.ExcessKurtosis(r),
			"semi_deviation":              quant.SemiDeviation(r),
			"historical_var":              quant.HistoricalVaR(r, 1-confidence),
			"historical_cvar":             quant.HistoricalCVaR(r, 1-confidence),
			"modified_cvar":               quant.ModifiedCVaR(r, 1-confidence),
			"ulcer_index":                 quant.UlcerIndex(r),
			"tail_ratio":                  quant.TailRatio(r),
			"martin_ratio":                quant.MartinRatio(r, annual, p),
			"kappa_3":                     quant.Kappa(r, mar, 3),
			"upside_potential_ratio":      quant.UpsidePotentialRatio(r, mar),
			"geometric_sharpe":            quant.AnnualSharpe(r, annual, p),
			"benchmark.observations":      float64(len(x)),
			"benchmark.annual_return":     quant.AnnualReturn(y, p),
			"benchmark.alpha":             alpha,
			"benchmark.beta":              beta,
			"benchmark.correlation":       quant.PairCorrelation(x, y),
			"benchmark.tracking_error":    quant.TrackingError(x, y, p),
			"benchmark.information_ratio": quant.InformationRatio(x, y, p),
			"benchmark.capture":           quant.Capture(x, y, p),
			"benchmark.up_capture":        quant.UpCapture(x, y, p),
			"benchmark.m_squared":         quant.MSquared(x, y, annual, p),
			"benchmark.treynor_ratio":     quant.Treynor(x, y, annual, p),
			"benchmark.specific_risk":     quant.SpecificRisk(x, y, p),
		} {
			got := at(t, answer.Body, name)
			if math.IsNaN(want) || math.IsInf(want, 0) {
				assert.True(t, math.IsNaN(got), "%s of %s%s: %g", name, target, window, got)
				continue
			}
			assert.InDelta(t, want, got, 1e-9*(1+math.Abs(want)), "%s of %s%s against %s", name, target, window,
				benchmark)
		}
	}
	var drawn struct {
		Count     int
		Drawdowns []struct {
			Depth              float64
			Start, Trough, End string
			Length, Recovery   int
		}
	}
	var own shown
	s.Get("/v1/returns/assets/B/series?kind=drawdown", &own)
	s.Get("/v1/returns/assets/B/drawdowns?limit=1000", &drawn)
	depthOn := map[string]float64{}
	for i, day := range own.Dates {
		depthOn[day] = own.Values[i]
	}
	require.Len(t, drawn.Drawdowns, drawn.Count)
	for i, d := range drawn.Drawdowns {
		assert.InDelta(t, d.Depth, depthOn[d.Trough], 1e-12)
		assert.InDelta(t, 0, depthOn[d.Start], 0)
		if d.End != "" {
			assert.InDelta(t, 0, depthOn[d.End], 0)
		}
		assert.True(t, i == 0 || d.Depth >= drawn.Drawdowns[i-1].Depth)
		assert.GreaterOrEqual(t, d.Length, d.Recovery)
	}
	var monthly, yearly struct {
		Years []struct {
			Year         int
			Months       []*float64
			Return       float64
			Observations int
		}
	}
	s.Get("/v1/returns/assets/B/table", &monthly)
	s.Get("/v1/returns/assets/B/table?by=yearly", &yearly)
	s.Get("/v1/returns/assets/B/series?frequency=monthly", &own)
	var inTable []float64
	total := 1.0
	for i, y := range monthly.Years {
		require.Len(t, y.Months, 12)
		for _, v := range y.Months {
			if v != nil {
				inTable = append(inTable, *v)
			}
		}
		total *= 1 + y.Return
		assert.InDelta(t, yearly.Years[i].Return, y.Return, 1e-12)
	}
	assert.InDeltaSlice(t, own.Values, inTable, 1e-12)
	assert.InDelta(t, quant.CumulativeReturn(own.Values), total-1, 1e-9)
}

// Only common days count, and returns over the other days are compounded: 100, 110, 121 compared with 50, none, 60 is
// 21 % compared with 20 %.
func TestBenchmarksAreComparedOnCommonDays(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	s.Import(
		"date,A,B\n2024-01-01,90,\n2024-01-02,100,50\n2024-01-03,110,\n"+
			"2024-01-04,121,60\n2024-01-05,133.1,54\n2024-01-08,,55\n",
		"",
	)
	s.Found("/v1/returns/assets/B", &struct{}{})
	var both shown
	s.Found("/v1/returns/assets/A/series?benchmark=B", &both)
	assert.Equal(t, []string{"2024-01-04", "2024-01-05"}, both.Dates)
	assert.InDeltaSlice(t, []float64{.21, .1}, both.Values, 1e-12)
	assert.InDeltaSlice(t, []float64{.2, -.1}, both.Benchmark.Values, 1e-12)
	a := s.Do(http.MethodGet, "/v1/returns/assets/A?benchmark=B", "")
	assert.InDelta(t, 4, at(t, a.Body, "observations"), 0)
	assert.InDelta(t, 2, at(t, a.Body, "benchmark.observations"), 0)
	assert.InDelta(t, .11/.3, at(t, a.Body, "benchmark.beta"), 1e-12)
}

// An undefined statistic is null, and the answer has the reason.
func TestUndefinedStatisticsHaveAReason(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	var m market
	days := every(civil.Of(2024, 1, 1), 30, 1)
	m.add("FLAT", days, make([]float64, 29))
	steady := make([]float64, 29)
	for i := range steady {
		steady[i] = 0.01
	}
	m.add("STEADY", days, steady)
	m.add("TWO", days[:2], []float64{0.5})
	m.add("MOVES", days, append([]float64{0.02, -0.01, 0.03}, steady[3:]...))
	s.Import(m.text.String(), "")
	s.Found("/v1/returns/assets/MOVES", &struct{}{})
	const flat, still = "the returns do not vary", "the benchmark's returns do not vary"
	for _, c := range []struct{ of, statistic, reason string }{
		{"FLAT", "sharpe", flat},
		{"FLAT", "sortino", "no return is below the required one"},
		{"FLAT", "calmar", "there is no drawdown"},
		{"FLAT", "skewness", flat},
		{"FLAT", "stability", "the wealth is constant"},
		{"FLAT", "tail_ratio", "the 5 % quantile of the returns is 0"},
		{"STEADY", "sharpe", flat}, // constant but for the rounding of prices
		{"STEADY", "omega", "no return is below the required one"},
		{"STEADY", "gain_loss_ratio", "no return is below 0"},
		{"FLAT", "d_ratio", "no return is above 0"},
		{"TWO", "annual_volatility", "it needs 2 returns, and there are 1"},
		{"TWO", "sample_excess_kurtosis", "it needs 4 returns, and there are 1"},
		{"MOVES?benchmark=FLAT", "benchmark.beta", still},
		{"MOVES?benchmark=STEADY", "benchmark.alpha", still},
		{"MOVES?benchmark=FLAT", "benchmark.up_capture", "the benchmark never rises"},
		{"MOVES?benchmark=MOVES", "benchmark.information_ratio", "the difference from the benchmark does not vary"},
		{"FLAT?benchmark=MOVES", "benchmark.m_squared", flat},
		{"MOVES?benchmark=TWO", "benchmark.beta", "it needs 2 returns, and there are 1"},
	} {
		a := s.Do(http.MethodGet, "/v1/returns/assets/"+c.of, "")
		require.Equal(t, http.StatusOK, a.Status, "%s", a.Body)
		assert.True(t, math.IsNaN(at(t, a.Body, c.statistic)), "%s of %s", c.statistic, c.of)
		var answer struct {
			Undefined map[string]string
			Benchmark struct{ Undefined map[string]string }
		}
		a.JSON(&answer)
		name, relative := strings.CutPrefix(c.statistic, "benchmark.")
		reason := answer.Undefined[name]
		if relative {
			reason = answer.Benchmark.Undefined[name]
		}
		assert.Equal(t, c.reason, reason, "%s of %s", c.statistic, c.of)
	}
	var rolled struct {
		Values    []*float64
		Undefined map[string]string
	}
	s.Get("/v1/returns/assets/MOVES/rolling?window=5", &rolled)
	assert.Equal(t, "22 of 25: the returns do not vary", rolled.Undefined["values"])
	assert.NotNil(t, rolled.Values[0])
	assert.Nil(t, rolled.Values[24])
}

func TestInvalidQueriesAreRefused(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	s.Import("date,A,B,C\n2024-01-02,1,1,\n2024-01-03,2,2,\n2024-01-04,3,1,\n2024-01-08,,2,1\n2024-01-09,,,2\n", "")
	id := s.Portfolio(`{"name":"p","assets":[{"symbol":"A","weight":"0.5"},{"symbol":"NONE","weight":"0.5"}]}`)
	s.Eventually("the portfolio is known", func() bool {
		return s.Do(http.MethodGet, "/v1/returns/portfolios/"+id, "").Status == http.StatusConflict
	})
	s.Found("/v1/returns/assets/C", &struct{}{})
	for _, c := range []struct {
		path   string
		status int
		code   string
	}{
		{"assets/NOBODY", 404, "symbol_unknown"},
		{"assets/NOBODY/drawdowns", 404, "symbol_unknown"},
		{"assets/A?benchmark=NOBODY", 422, "benchmark_unknown"},
		{"assets/A?benchmark=a%20b", 422, "benchmark_unknown"},
		{"assets/A?benchmark=01a20cec-3145-7f36-979c-94a239d4574c", 422, "benchmark_unknown"},
		{"assets/A?benchmark=" + id, 422, "benchmark_apart"},
		{"assets/A?benchmark=C", 422, "benchmark_apart"},
		{"assets/B?benchmark=C", 422, "benchmark_apart"},
		{"assets/B?benchmark=A&from=2024-01-04", 422, "benchmark_apart"},
		{"assets/A?from=2025-01-01", 422, "window_empty"},
		{"assets/A?from=2024-01-04", 422, "window_empty"},
		{"assets/A?confidence=1", 422, "parameter_invalid"},
		{"assets/A?confidence=NaN", 422, "parameter_invalid"},
		{"assets/A?required=-1", 422, "parameter_invalid"},
		{"assets/A?limit=3", 422, "parameter_unknown"},
		{"assets/A?rebalance=none&benchmark=B", 422, "parameter_unknown"},
		{"assets/A?kind=log", 422, "parameter_unknown"},
		{"assets/A/series?risk_free=0.01", 422, "parameter_unknown"},
		{"assets/A/drawdowns?kind=log&confidence=0.9", 422, "parameter_unknown"},
		{"assets/A/drawdowns?benchmark=A", 422, "parameter_unknown"},
		{"assets/A/table?required=0.1", 422, "parameter_unknown"},
		{"assets/A/rolling?kind=log", 422, "parameter_unknown"},
		{"assets/A/rolling?window=2&benchmark=A", 422, "parameter_unused"},
		{"assets/A/drawdowns?limit=0", 422, "parameter_invalid"},
		{"assets/A/table?by=hourly", 422, "parameter_invalid"},
		{"assets/A/table?frequency=weekly", 422, "parameter_invalid"},
		{"assets/A/rolling?metric=luck", 422, "parameter_invalid"},
		{"assets/A/rolling?metric=beta", 422, "benchmark_missing"},
		{"assets/A/rolling?window=1", 422, "window_short"},
		{"assets/A/rolling?window=3", 422, "window_long"},
		{"assets/A/rolling?window=x", 422, "parameter_invalid"},
		{"assets/A/nonsense", 404, "path_unknown"},
	} {
		a := s.Do(http.MethodGet, "/v1/returns/"+c.path, "")
		assert.Equal(t, c.status, a.Status, "%s: %s", c.path, a.Body)
		assert.Equal(t, c.code, a.Problem().Code, "%s: %s", c.path, a.Body)
		assert.NotEmpty(t, a.Problem().Hint, c.path)
	}
}

// Weeks begin on Monday, before 1970 too.
func TestWeeksBeginOnMonday(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	for symbol, days := range map[string][]string{ // a Friday, and Monday and Friday of the next two weeks
		"OLD": {"1969-07-04", "1969-07-07", "1969-07-11", "1969-07-14", "1969-07-18"},
		"NEW": {"2024-07-05", "2024-07-08", "2024-07-12", "2024-07-15", "2024-07-19"},
	} {
		var csv strings.Builder
		csv.WriteString("date,symbol,close\n")
		for i, day := range days {
			_, _ = fmt.Fprintf(&csv, "%s,%s,%d\n", day, symbol, 100+i)
		}
		s.Import(csv.String(), "")
		var weekly struct {
			Dates  []string
			Values []float64
		}
		s.Found("/v1/returns/assets/"+symbol+"/series?frequency=weekly", &weekly)
		assert.Equal(t, []string{days[2], days[4]}, weekly.Dates)
		assert.InDeltaSlice(t, []float64{102./100 - 1, 104./102 - 1}, weekly.Values, 1e-12)
	}
}

// Prices that return exactly to an earlier level have a return of 0 and no drawdown, to the last bit.
func TestPricesThatRecoverExactlyHaveNoReturn(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	s.Import("date,MINI,FLAT,OTHER\n2024-01-29,100,17.02,50\n2024-02-05,103,16.5,55\n2024-02-09,90,17.02,45\n"+
		"2024-02-16,103,17.02,50\n2024-02-21,101,16.9,51\n2024-02-23,103,17.02,50\n", "")
	var a struct {
		End              *string  `json:"max_drawdown_end"`
		UpsideFrequency  *float64 `json:"upside_frequency"`
		CumulativeReturn float64  `json:"cumulative_return"`
	}
	s.Found("/v1/returns/assets/MINI", &a)
	require.NotNil(t, a.End)
	assert.Equal(t, "2024-02-16", *a.End)
	s.Found("/v1/returns/assets/FLAT?frequency=weekly", &a)
	assert.Zero(t, a.CumulativeReturn)
	require.NotNil(t, a.UpsideFrequency)
	assert.Zero(t, *a.UpsideFrequency, "17.02 at the end of every week")
	var list struct {
		Drawdowns []struct{ End *string }
	}
	s.Found("/v1/returns/assets/MINI/drawdowns", &list)
	require.Len(t, list.Drawdowns, 2)
	assert.NotNil(t, list.Drawdowns[0].End)
	assert.NotNil(t, list.Drawdowns[1].End)
}
