package client

import (
	"context"
	"net/url"

	"stega/civil"
)

// ReturnsQuery selects and parametrises returns; the zero value of a field leaves the default of the server.
type ReturnsQuery struct {
	Window

	Frequency  string   // daily, weekly, monthly
	RiskFree   *float64 // a year, as a ratio
	Required   *float64 // the least acceptable return a year, as a ratio
	Confidence *float64 // of values at risk, as a ratio
	Rebalance  string   // of a portfolio: daily, monthly, none
	Benchmark  string   // a symbol, or the id of a portfolio
	Kind       string   // of a series: simple, log, cumulative, drawdown
	Limit      int      // of drawdowns
	By         string   // of a table: monthly, yearly
	// of rolling statistics: the name of one as Returns and Relative have it in JSON; or return, volatility
	Metric string
	Length int // of rolling statistics: the number of returns in each window
}

func (r ReturnsQuery) query() url.Values {
	q := r.Window.query()
	for _, p := range [][2]string{
		{"frequency", r.Frequency}, {"risk_free", number(r.RiskFree)}, {"required", number(r.Required)},
		{"confidence", number(r.Confidence)},
		{"rebalance", r.Rebalance}, {"benchmark", r.Benchmark}, {"kind", r.Kind}, {"limit", count(r.Limit)},
		{"by", r.By},
		{"metric", r.Metric},
		{"window", count(r.Length)},
	} {
		set(q, p[0], p[1])
	}
	return q
}

// Whose says whose returns they are.
type Whose struct {
	Symbol      string `json:"symbol,omitempty"`
	PortfolioID string `json:"portfolio_id,omitempty"`
	Version     int64  `json:"version,omitempty"`
	Rebalance   string `json:"rebalance,omitempty"`
}

// path is where the returns are.
func (w Whose) path() string {
	if w.Symbol != "" {
		return "/v1/returns/assets/" + url.PathEscape(w.Symbol)
	}
	return "/v1/returns/portfolios/" + url.PathEscape(w.PortfolioID)
}

// Extent says of which returns an answer is.
type Extent struct {
	Whose

	From         civil.Date `json:"from"` // of the first price
	To           civil.Date `json:"to"`
	Frequency    string     `json:"frequency"`
	Observations int        `json:"observations"` // returns
}

// Returns are figures of returns: ratios, not percents; nil where one is not defined, and Undefined says why, by its
// name in JSON.
type Returns struct {
	Extent

	RiskFree   float64 `json:"risk_free"`
	Required   float64 `json:"required"`
	Confidence float64 `json:"confidence"`

	MaxDrawdownStart  *civil.Date `json:"max_drawdown_start"`
	MaxDrawdownTrough *civil.Date `json:"max_drawdown_trough"`
	MaxDrawdownEnd    *civil.Date `json:"max_drawdown_end"`

	AnnualReturn     *float64 `json:"annual_return"` // geometric
	ArithmeticReturn *float64 `json:"arithmetic_return"`
	CumulativeReturn *float64 `json:"cumulative_return"`
	CAGR             *float64 `json:"cagr"` // a year of the calendar
	AnnualVolatility *float64 `json:"annual_volatility"`
	Sharpe           *float64 `json:"sharpe"`
	Sortino          *float64 `json:"sortino"`
	Calmar           *float64 `json:"calmar"`
	Omega            *float64 `json:"omega"`
	DownsideRisk     *float64 `json:"downside_risk"`
	MaxDrawdown      *float64 `json:"max_drawdown"`
	Best             *float64 `json:"best"`
	Worst            *float64 `json:"worst"`

	Skewness              *float64 `json:"skewness"`
	SampleSkewness        *float64 `json:"sample_skewness"`
	Kurtosis              *float64 `json:"kurtosis"`
	SampleKurtosis        *float64 `json:"sample_kurtosis"`
	ExcessKurtosis        *float64 `json:"excess_kurtosis"`
	SampleExcessKurtosis  *float64 `json:"sample_excess_kurtosis"`
	MeanAbsoluteDeviation *float64 `json:"mean_absolute_deviation"`
	SemiDeviation         *float64 `json:"semi_deviation"`

	HistoricalVaR  *float64 `json:"historical_var"` // of a period, as all of these
	HistoricalCVaR *float64 `json:"historical_cvar"`
	GaussianVaR    *float64 `json:"gaussian_var"`
	GaussianCVaR   *float64 `json:"gaussian_cvar"`
	ModifiedVaR    *float64 `json:"modified_var"` // by the expansion of Cornish and Fisher
	ModifiedCVaR   *float64 `json:"modified_cvar"`
	TailRatio      *float64 `json:"tail_ratio"`

	// in periods, from a high to the next that is higher, or to the end
	LongestDrawdown *float64 `json:"longest_drawdown"`
	UlcerIndex      *float64 `json:"ulcer_index"`
	PainIndex       *float64 `json:"pain_index"`
	MartinRatio     *float64 `json:"martin_ratio"`
	PainRatio       *float64 `json:"pain_ratio"`
	Burke           *float64 `json:"burke_ratio"`
	ModifiedBurke   *float64 `json:"modified_burke_ratio"`

	GeometricSharpe       *float64 `json:"geometric_sharpe"`
	AdjustedSharpe        *float64 `json:"adjusted_sharpe"`
	OmegaSharpe           *float64 `json:"omega_sharpe"`
	Kappa3                *float64 `json:"kappa_3"`
	UpsidePotentialRatio  *float64 `json:"upside_potential_ratio"`
	GainLossRatio         *float64 `json:"gain_loss_ratio"`
	DRatio                *float64 `json:"d_ratio"`
	SkewnessKurtosisRatio *float64 `json:"skewness_kurtosis_ratio"`
	Stability             *float64 `json:"stability"`
	DownsideDeviation     *float64 `json:"downside_deviation"` // of a period, as those below
	DownsidePotential     *float64 `json:"downside_potential"`
	DownsideFrequency     *float64 `json:"downside_frequency"`
	UpsideRisk            *float64 `json:"upside_risk"`
	UpsideVariance        *float64 `json:"upside_variance"`
	UpsidePotential       *float64 `json:"upside_potential"`
	UpsideFrequency       *float64 `json:"upside_frequency"`

	Undefined map[string]string `json:"undefined,omitempty"`
	Benchmark *Relative         `json:"benchmark,omitempty"`
}

// Relative are figures against a benchmark, of the returns between the days on which both have a price. The first
// four are the benchmark's own.
type Relative struct {
	Extent

	AnnualReturn     *float64 `json:"annual_return"`
	CumulativeReturn *float64 `json:"cumulative_return"`
	AnnualVolatility *float64 `json:"annual_volatility"`
	MaxDrawdown      *float64 `json:"max_drawdown"`

	Alpha            *float64 `json:"alpha"` // a year
	Beta             *float64 `json:"beta"`
	Correlation      *float64 `json:"correlation"`
	TrackingError    *float64 `json:"tracking_error"`
	InformationRatio *float64 `json:"information_ratio"`
	Capture          *float64 `json:"capture"`
	UpCapture        *float64 `json:"up_capture"`
	DownCapture      *float64 `json:"down_capture"`
	CaptureRatio     *float64 `json:"capture_ratio"`
	UpAlpha          *float64 `json:"up_alpha"`
	UpBeta           *float64 `json:"up_beta"`
	DownAlpha        *float64 `json:"down_alpha"`
	DownBeta         *float64 `json:"down_beta"`

	JensenAlpha              *float64 `json:"jensen_alpha"`
	RegressionEpsilon        *float64 `json:"regression_epsilon"`
	FamaBeta                 *float64 `json:"fama_beta"`
	SystematicRisk           *float64 `json:"systematic_risk"`
	SpecificRisk             *float64 `json:"specific_risk"`
	TotalRisk                *float64 `json:"total_risk"`
	AppraisalRatio           *float64 `json:"appraisal_ratio"`
	Treynor                  *float64 `json:"treynor_ratio"`
	ModifiedTreynor          *float64 `json:"modified_treynor_ratio"`
	MSquared                 *float64 `json:"m_squared"`
	MSquaredExcess           *float64 `json:"m_squared_excess"`
	MSquaredExcessArithmetic *float64 `json:"m_squared_excess_arithmetic"`
	M2Sortino                *float64 `json:"m2_sortino"`
	OmegaExcessReturn        *float64 `json:"omega_excess_return"`

	Undefined map[string]string `json:"undefined,omitempty"`
}

// Series is a series of returns: the values are those of the dates.
type Series struct {
	Whose

	Kind      string       `json:"kind"`
	Frequency string       `json:"frequency"`
	Dates     []civil.Date `json:"dates"`
	Values    []*float64   `json:"values"`
	Benchmark *RivalSeries `json:"benchmark,omitempty"` // then the dates are those that both have
}

// RivalSeries is the series of a benchmark.
type RivalSeries struct {
	Whose

	Values []*float64 `json:"values"`
}

// Drawdowns are times below the highest wealth so far, the deepest first.
type Drawdowns struct {
	Extent

	Count     int        `json:"count"` // of all, of which these are the deepest
	Drawdowns []Drawdown `json:"drawdowns"`
}

// Drawdown is a time below the highest wealth so far; lengths are in periods.
type Drawdown struct {
	Depth    *float64    `json:"depth"`
	Start    civil.Date  `json:"start"`
	Trough   civil.Date  `json:"trough"`
	End      *civil.Date `json:"end"` // nil: not yet
	Length   int         `json:"length"`
	Recovery int         `json:"recovery"`
}

// ReturnsTable has a row for each year.
type ReturnsTable struct {
	Extent

	By    string     `json:"by"`
	Years []YearlyOf `json:"years"`
}

// YearlyOf is a year, in a table by month with its months, January first.
type YearlyOf struct {
	Year         int        `json:"year"`
	Months       []*float64 `json:"months,omitempty"`
	Return       *float64   `json:"return"`
	Observations int        `json:"observations"`
	Volatility   *float64   `json:"annual_volatility"`
	MaxDrawdown  *float64   `json:"max_drawdown"`
	Best         *float64   `json:"best"`
	Worst        *float64   `json:"worst"`
}

// Rolling is a figure of each window of so many returns, on the day on which it ends.
type Rolling struct {
	Extent

	Metric    string            `json:"metric"`
	Length    int               `json:"window"`
	Benchmark *Whose            `json:"benchmark,omitempty"`
	Dates     []civil.Date      `json:"dates"`
	Values    []*float64        `json:"values"`
	Undefined map[string]string `json:"undefined,omitempty"`
}

// Returns are the figures of a symbol or a portfolio.
func (c *Client) Returns(ctx context.Context, of Whose, q ReturnsQuery) (Answer[Returns], error) {
	return Get[Returns](ctx, c, of.path(), q.query())
}

// ReturnSeries is the series of a symbol or a portfolio.
func (c *Client) ReturnSeries(ctx context.Context, of Whose, q ReturnsQuery) (Answer[Series], error) {
	return Get[Series](ctx, c, of.path()+"/series", q.query())
}

// Drawdowns are the deepest drawdowns.
func (c *Client) Drawdowns(ctx context.Context, of Whose, q ReturnsQuery) (Answer[Drawdowns], error) {
	return Get[Drawdowns](ctx, c, of.path()+"/drawdowns", q.query())
}

// ReturnsTable is the table of months or years.
func (c *Client) ReturnsTable(ctx context.Context, of Whose, q ReturnsQuery) (Answer[ReturnsTable], error) {
	return Get[ReturnsTable](ctx, c, of.path()+"/table", q.query())
}

// Rolling are rolling figures.
func (c *Client) Rolling(ctx context.Context, of Whose, q ReturnsQuery) (Answer[Rolling], error) {
	return Get[Rolling](ctx, c, of.path()+"/rolling", q.query())
}

// AssetReturns are the figures of a symbol.
func (c *Client) AssetReturns(ctx context.Context, symbol string, q ReturnsQuery) (Answer[Returns], error) {
	return c.Returns(ctx, Whose{Symbol: symbol}, q)
}

// AssetSeries is the series of a symbol.
func (c *Client) AssetSeries(ctx context.Context, symbol string, q ReturnsQuery) (Answer[Series], error) {
	return c.ReturnSeries(ctx, Whose{Symbol: symbol}, q)
}

// PortfolioReturns are the figures of a portfolio.
func (c *Client) PortfolioReturns(ctx context.Context, id string, q ReturnsQuery) (Answer[Returns], error) {
	return c.Returns(ctx, Whose{PortfolioID: id}, q)
}

// PortfolioSeries is the series of a portfolio.
func (c *Client) PortfolioSeries(ctx context.Context, id string, q ReturnsQuery) (Answer[Series], error) {
	return c.ReturnSeries(ctx, Whose{PortfolioID: id}, q)
}
