package optimization_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/reference"
	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/store"
)

func TestMain(m *testing.M) {
	defer stegatest.RemoveBinary()
	servers.Main(m)
}

// answer holds the fields of an optimization that the tests check.
type answer struct {
	ID, Name, Status, Objective string
	Follow                      bool
	Runs                        int
	Error                       *struct{ Code, Detail, Hint string }
	Weights                     map[string]float64
	AnnualReturn                *float64 `json:"annual_return"`
	AnnualVolatility            *float64 `json:"annual_volatility"`
	Sharpe, Risk                *float64
	RiskContributions           map[string]float64 `json:"risk_contributions"`
	AssetReturns                map[string]float64 `json:"asset_returns"`
	Active                      []struct{ Constraint string }
	Points                      []point
	MinVolatility               *point `json:"min_volatility"`
	MaxSharpe                   *point `json:"max_sharpe"`
	Distance                    *struct {
		Turnover float64
		Trades   []struct {
			Symbol           string
			From, To, Change float64
		}
	}
	Inputs json.RawMessage
	Data   struct {
		Symbols            []string
		First              string
		AsOf               string `json:"as_of"`
		Observations       int
		CommonObservations int  `json:"common_observations"`
		Repaired           bool `json:"covariance_repaired"`
		PortfolioVersion   int  `json:"portfolio_version"`
	}
	Notes []string
}

type point struct {
	AnnualReturn     float64 `json:"annual_return"`
	AnnualVolatility float64 `json:"annual_volatility"`
	Sharpe           *float64
	Weights          map[string]float64
}

// environment is a server with the 20 stocks of PyPortfolioOpt's tests.
type environment struct {
	*stegatest.Server
	t       testing.TB
	symbols []string
}

func stocks(t *testing.T) environment {
	t.Helper()
	file := string(reference.Read(t, "stock_prices.csv"))
	head, _, _ := strings.Cut(file, "\n")
	w := environment{stegatest.Up(t), t, strings.Split(strings.TrimSpace(head), ",")[1:]}
	w.settled(w.Import(file, ""))
	return w
}

// settled waits until an operation is settled.
func (w environment) settled(op store.Operation) {
	w.t.Helper()
	w.Eventually("operation "+op.ID+" is settled", func() bool {
		var o struct{ Settled bool }
		w.Get("/v1/operations/"+op.ID, &o)
		return o.Settled
	})
}

// optimize runs an optimization that must succeed; settings are JSON without braces.
func (w environment) optimize(t *testing.T, settings string) answer {
	t.Helper()
	server := stegatest.At(t, w.URL, w.Token)
	op := server.Write(http.MethodPost, "/v1/optimizations", w.body(t, settings))
	require.Nil(t, op.Error, "%v", op.Error)
	var a answer
	server.Get("/v1/optimizations/"+op.EntityID, &a)
	require.Equal(t, "succeeded", a.Status)
	return a
}

// body returns a request of all symbols, unless the settings have others.
func (w environment) body(t testing.TB, settings string) string {
	t.Helper()
	var said map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte("{"+settings+"}"), &said))
	if said["symbols"] == nil && said["portfolio_id"] == nil {
		symbols, err := json.Marshal(w.symbols)
		require.NoError(t, err)
		said["symbols"] = symbols
	}
	body, err := json.Marshal(said)
	require.NoError(t, err)
	return string(body)
}

// The expected return, volatility (or risk) and Sharpe ratio come from the reference tables B and C, which are
// PyPortfolioOpt's own tests.
func TestResultsMatchTheReference(t *testing.T) {
	t.Parallel()
	w := stocks(t)
	equal := map[string]float64{}
	for _, s := range w.symbols {
		equal[s] = .05
	}
	held, err := json.Marshal(equal)
	require.NoError(t, err)
	const rf, free = `"risk_free":0.02,`, `"bounds":[null,null],`
	const common = `"from":"2014-09-19",` // the first day on which all symbols have a price
	for _, c := range []struct {
		name, settings string
		tolerance      float64
		want           []float64
	}{
		{
			"B1", rf + `"objective":"min_volatility"`, 1e-6,
			[]float64{0.15056821399482578, 0.15915084514118694, 0.8204054077060996},
		},
		{
			"B2", rf + free + `"objective":"min_volatility"`, 1e-6,
			[]float64{0.1516319319875544, 0.1555915367269669, 0.8460095886741129},
		},
		{
			"B3", rf + `"objective":"min_volatility","l2":1`, 1e-5,
			[]float64{0.17356099329164965, 0.1955254118258614, 0.785376140408869},
		},
		{
			"B4",
			rf + `"objective":"min_volatility","l2":1,"transaction_costs":0.001,"current_weights":` + string(held),
			1e-4,
			[]float64{0.17363446634404042, 0.1959773703677164, 0.7839398296638683},
		},
		{"B5", rf + `"objective":"max_sharpe"`, 1e-5,
			[]float64{0.3047768672819914, 0.22165566922402932, 1.2847714127003216}},
		{
			"B6", rf + free + `"objective":"max_sharpe"`, 1e-5,
			[]float64{0.4937195216716211, 0.29516576454651955, 1.6049270564945908},
		},
		{
			"B7", rf + `"objective":"max_sharpe","l2":5`, 1e-5,
			[]float64{0.2516854357026833, 0.22043282695478603, 1.051047790401043},
		},
		{
			"B8", rf + free + `"objective":"max_sharpe","l2":1`, 1e-5,
			[]float64{0.2995338981166366, 0.2234696161770517, 1.2508810052063901},
		},
		{
			"B9", rf + `"objective":"max_utility","risk_aversion":2`, 1e-5,
			[]float64{0.3677732711751504, 0.2921342197778279, 1.1904571516463793},
		},
		{
			"B10", rf + `"objective":"max_utility","bounds":[-1,1]`, 1e-5,
			[]float64{1.4170505733098597, 1.0438577623242156, 1.3383533884915872},
		},
		{
			"B11", rf + `"objective":"max_utility","market_neutral":true`, 1e-5,
			[]float64{1.248936321062371, 1.0219175004907117, 1.2025787996313317},
		},
		{
			"B12", rf + `"objective":"max_utility","l2":5`, 1e-5,
			[]float64{0.19774277217586125, 0.2104822672707046, 0.8444548535162986},
		},
		{
			"B15", rf + `"objective":"efficient_risk","target":0.21,"market_neutral":true,"bounds":[-1,1]`, 1e-5,
			[]float64{0.28640632960825885, 0.21, 1.2686015698590967},
		},
		{
			"B16", rf + `"objective":"efficient_return","target":0.25`, 1e-5,
			[]float64{0.25, 0.18723269942026335, 1.2284179030274036},
		},
		{
			"B19", rf + `"objective":"efficient_return","target":0.25,"l2":1`, 1e-5,
			[]float64{0.25, 0.20961660883459776, 1.0972412981906703},
		},
		{
			"B21", rf + `"objective":"max_sharpe","covariance":"semi","missing":"zero"`, 1e-5,
			[]float64{0.2762965426962885, 0.07372667096108301, 3.476307004714425},
		},
		{
			"B22", rf + `"objective":"max_sharpe","covariance":"semi","missing":"zero","bounds":[-1,1]`, 1e-5,
			[]float64{0.42444834528495234, 0.0898263632679403, 4.50255727350929},
		},
		{
			"B23", rf + `"objective":"min_volatility","l2":1,"covariance":"ledoit_wolf",` +
				`"missing":"zero","shrinkage_target":"constant_correlation"`, 1e-5,
			[]float64{0.17358178582309983, 0.19563960638632416, 0.7850239972361532},
		},
		{
			"B24", rf + `"objective":"efficient_return","target":0.22,"covariance":"ledoit_wolf",` +
				`"missing":"zero","shrinkage_target":"single_factor"`, 1e-5,
			[]float64{0.22, 0.08892163937693882, 2.2491713085967766},
		},
		{
			"C1", `"objective":"max_sharpe"`, 1e-5, []float64{0.2994470912768992, 0.21764331657015668},
		}, // the objective has a risk-free rate of 0, the ratio .02
		{
			"C4", `"objective":"max_sharpe","covariance":"semi","missing":"zero"`, 1e-4,
			[]float64{0.2721798377099145, 0.07258537193305141},
		},
		{
			"C5", `"objective":"max_sharpe","covariance":"exponential"`, 1e-5,
			[]float64{0.32971891062187103, 0.17670121760851704},
		},
		{
			"C8", rf + `"objective":"hrp","expected_returns":"arithmetic"`, 1e-7,
			[]float64{0.21353402380950973, 0.17844159743748936, 1.084579081272277},
		},
		{"C12", rf + `"objective":"min_cvar"`, 1e-3, []float64{0.17745746040573562, 0.017049502122532853}},
		{"C13", rf + `"objective":"efficient_return","measure":"cvar","target":0.2`, 1e-4, []float64{0.2, 0.017222}},
		{
			"C17", rf + common + `"objective":"efficient_risk","measure":"cvar","target":0.02`, 1e-4,
			[]float64{0.2267893986249195, 0.02},
		},
		{
			"C19", rf + common + `"objective":"efficient_return","measure":"cvar","target":0.25`, 1e-4,
			[]float64{0.25, 0.021036631225933487},
		},
		{
			"C20", rf + common + `"objective":"efficient_return","measure":"cvar","target":0.26,"bounds":[-3,3]`, 1e-4,
			[]float64{0.26, 0.01804624747353764},
		},
		{"C21", rf + common + `"objective":"min_cdar"`, 1e-3, []float64{0.14798, 0.056433}},
		{"C22", rf + common + `"objective":"efficient_return","measure":"cdar","target":0.2`, 1e-4,
			[]float64{0.2, 0.063709}},
		{"C22", rf + common + `"objective":"efficient_risk","measure":"cdar","target":0.08`, 1e-4,
			[]float64{0.261922, 0.08}},
		{
			"C23", rf + common + `"objective":"efficient_return","measure":"semideviation","target":0.2`, 2e-4,
			[]float64{0.20, 0.091287},
		},
		{"C23", rf + common + `"objective":"min_semivariance"`, 2e-3, []float64{0.091059, 0.084974}},
		{
			"C23", rf + common + `"objective":"max_utility","measure":"semideviation","risk_aversion":2`, 1e-4,
			[]float64{0.50857, 0.17469},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := w.optimize(t, c.settings)
			require.NotNil(t, a.AnnualReturn)
			got := []float64{*a.AnnualReturn, *a.AnnualVolatility, *a.Sharpe}
			if a.Risk != nil {
				got[1] = *a.Risk
			}
			for i, want := range c.want {
				assert.InEpsilon(t, want, got[i], c.tolerance, []string{"return", "risk", "Sharpe ratio"}[i])
			}
			assert.Equal(t, "2018-04-11", a.Data.AsOf)
			assert.False(t, a.Data.Repaired)
			again := w.optimize(t, strings.TrimSuffix(strings.TrimPrefix(string(a.Inputs), "{"), "}"))
			assert.JSONEq(t, string(a.Inputs), string(again.Inputs))
			for s, weight := range a.Weights {
				assert.InDelta(t, weight, again.Weights[s], 1e-9, "the inputs ask for the same thing: %s", s)
			}
		})
	}
	t.Run("C7 and C9", func(t *testing.T) {
		t.Parallel()
		a := w.optimize(t, `"objective":"hrp"`)
		rows, err := csv.NewReader(strings.NewReader(string(reference.Read(t, "weights_hrp.csv")))).ReadAll()
		require.NoError(t, err)
		for _, row := range rows[1:] {
			want, err := strconv.ParseFloat(row[1], 64)
			require.NoError(t, err)
			assert.InEpsilon(t, want, a.Weights[row[0]], 1e-8, "C7 %s", row[0])
		}
		a = w.optimize(t, `"objective":"hrp","covariance":"ledoit_wolf","missing":"zero"`)
		assert.InEpsilon(t, 0.10002783894982334, *a.AnnualVolatility, 1e-5, "C9")
	})
	t.Run("the frontier is that of single portfolios", func(t *testing.T) {
		t.Parallel()
		a := w.optimize(t, rf+`"objective":"frontier","points":7`)
		require.Len(t, a.Points, 7)
		assert.InEpsilon(t, 0.15915084514118694, a.MinVolatility.AnnualVolatility, 1e-7, "C3")
		assert.InEpsilon(t, 1.2847714127003216, *a.MaxSharpe.Sharpe, 1e-7, "B5")
		for i, p := range a.Points[1:] {
			assert.Greater(t, p.AnnualVolatility, a.Points[i].AnnualVolatility)
			one := w.optimize(t, fmt.Sprintf(`"objective":"efficient_return","target":%v`, p.AnnualReturn))
			assert.InEpsilon(t, *one.AnnualVolatility, p.AnnualVolatility, 1e-6)
		}
	})
	t.Run("risk parity gives every asset its budget", func(t *testing.T) {
		t.Parallel()
		a := w.optimize(t, `"objective":"risk_parity","budgets":{"GOOG":3,"aapl":1},"symbols":["GOOG","AAPL","XOM"]`)
		assert.InDelta(t, .75, a.RiskContributions["GOOG"], 1e-6)
		assert.InDelta(t, .25, a.RiskContributions["AAPL"], 1e-6)
		assert.Zero(t, a.Weights["XOM"])
	})
	t.Run("Black and Litterman", func(t *testing.T) {
		t.Parallel()
		const tech = `"symbols":["GOOG","AAPL","XOM"],"objective":"max_sharpe",`
		plain := w.optimize(t, tech+`"expected_returns":"capm"`)
		sure := w.optimize(
			t,
			tech+`"expected_returns":"capm","views":[{"symbol":"GOOG","return":0.4,"confidence":1},`+
				`{"symbol":"AAPL","over":"XOM","return":0.1,"confidence":1}]`,
		)
		assert.InDelta(t, .4, sure.AssetReturns["GOOG"], 1e-9, "a certain view is the expected return")
		assert.InDelta(t, .1, sure.AssetReturns["AAPL"]-sure.AssetReturns["XOM"], 1e-9)
		none := w.optimize(t, tech+`"expected_returns":"capm","views":[{"symbol":"GOOG","return":0.4,"confidence":0}]`)
		for s, r := range plain.AssetReturns {
			assert.InDelta(t, r, none.AssetReturns[s], 1e-12, "a view without confidence has no effect")
		}
		const prior = tech +
			`"prior":"market","market_caps":{"GOOG":927,"AAPL":1190,"XOM":295},"risk_aversion":2.68549,` +
			`"views":[{"weights":{"GOOG":1},"return":0.5,"confidence":`
		before, between, sure := w.optimize(t, prior+`0}]`), w.optimize(t, prior+`0.5}]`), w.optimize(t, prior+`1}]`)
		assert.InDelta(
			t, (before.AssetReturns["GOOG"]+.5)/2, between.AssetReturns["GOOG"], 1e-9,
			"half the confidence moves the return half the way",
		)
		assert.InDelta(t, .5, sure.AssetReturns["GOOG"], 1e-9)
		flipped := w.optimize(t,
			tech+`"views":[{"symbol":"AAPL","over":"XOM","return":0.1},{"symbol":"GOOG","return":0.4}]`)
		straight := w.optimize(t,
			tech+`"views":[{"symbol":"GOOG","return":0.4},{"symbol":"AAPL","over":"XOM","return":0.1}]`)
		for s, r := range straight.Weights {
			assert.InDelta(t, r, flipped.Weights[s], 1e-7, "views have no order")
		}
	})
	t.Run("the order of symbols does not matter", func(t *testing.T) {
		t.Parallel()
		a, b := w.optimize(
			t, `"objective":"max_sharpe","symbols":["GOOG","XOM","MA","T"]`,
		), w.optimize(t, `"objective":"max_sharpe","symbols":["T","MA","XOM","GOOG"]`)
		for s, weight := range a.Weights {
			assert.InDelta(t, weight, b.Weights[s], 1e-6, s)
		}
	})
	t.Run("groups, bounds and what holds back", func(t *testing.T) {
		t.Parallel()
		a := w.optimize(
			t,
			`"objective":"max_sharpe","bounds":[0.01,0.3],"asset_bounds":{"MA":[0,0.1]},`+
				`"groups":[{"name":"tech","symbols":["GOOG","aapl","AMZN","FB","AMD"],"max":0.25}]`,
		)
		tech := 0.0
		for s, weight := range a.Weights {
			assert.GreaterOrEqual(t, weight, .0-1e-9)
			assert.LessOrEqual(t, weight, .3+1e-9)
			if strings.Contains("GOOG AAPL AMZN FB AMD", s) {
				tech += weight
			}
		}
		assert.InDelta(t, .25, tech, 1e-6)
		assert.InDelta(t, .1, a.Weights["MA"], 1e-6)
		var names []string
		for _, c := range a.Active {
			names = append(names, c.Constraint)
		}
		assert.Contains(t, names, "group tech (upper)")
		assert.Contains(t, names, "upper bound of MA")
		sum := 0.0
		for _, share := range a.RiskContributions {
			sum += share
		}
		assert.InDelta(t, 1, sum, 1e-12)
		assert.False(t, math.IsNaN(*a.Sharpe))
	})
}
