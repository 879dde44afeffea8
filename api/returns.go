package api

import (
	"stega/civil"
	"stega/events"
)

// Target names an asset or a portfolio whose returns an answer has.
type Target struct {
	Symbol      string `json:"symbol,omitempty" jsonschema:"oneof_required=symbol"`
	PortfolioID string `json:"portfolio_id,omitempty" jsonschema:"oneof_required=id"`
	Version     int64  `json:"version,omitempty" jsonschema:"oneof_required=id"` // of the portfolio
	Rebalance   string `json:"rebalance,omitempty" jsonschema:"oneof_required=id,enum=daily,enum=monthly,enum=none"`
}

// Extent describes the returns behind an answer.
type Extent struct {
	Target

	From         civil.Date `json:"from"` // day of the first price
	To           civil.Date `json:"to"`   // day of the last price
	Frequency    string     `json:"frequency" jsonschema:"enum=daily,enum=monthly,enum=weekly"`
	Observations int        `json:"observations"` // number of returns
}

// Returns has the statistics of returns, as ratios and not as percentages.
type Returns struct {
	Extent

	RiskFree   float64 `json:"risk_free"`  // a year
	Required   float64 `json:"required"`   // least acceptable return a year
	Confidence float64 `json:"confidence"` // of values at risk

	PeriodsPerYear float64 `json:"periods_per_year"` // returns in a year, to annualize by

	MaxDrawdownStart  *civil.Date `json:"max_drawdown_start"` // day of the peak
	MaxDrawdownTrough *civil.Date `json:"max_drawdown_trough"`
	MaxDrawdownEnd    *civil.Date `json:"max_drawdown_end"` // day of recovery; null before it

	Statistics

	Undefined map[string]string `json:"undefined,omitempty"` // why a statistic is null, by its name
	Notes     []string          `json:"notes,omitempty"`     // what not to overlook: an unusual calendar, few returns
	Benchmark *RelativeReturns  `json:"benchmark,omitempty"`
}

// Statistics has all statistics of a series of returns, in the order of the table that computes them. One that is
// undefined is null.
type Statistics struct {
	AnnualReturn     *float64 `json:"annual_return"` // geometric mean
	ArithmeticReturn *float64 `json:"arithmetic_return"`
	CumulativeReturn *float64 `json:"cumulative_return"`
	CAGR             *float64 `json:"cagr"` // over calendar days
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

	// in periods, from a high to its return, or to the end; 0 without a drawdown
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
}

// RelativeReturns has the statistics relative to a benchmark, of the returns between the days on which both have a
// price.
type RelativeReturns struct {
	Extent
	RelativeStatistics

	Undefined map[string]string `json:"undefined,omitempty"` // why a statistic is null, by its name
}

// RelativeStatistics has all statistics relative to a benchmark, in the order of the table that computes them. The
// first four are those of the benchmark alone.
type RelativeStatistics struct {
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
}

// ReturnSeries has a series: values[i] is that of dates[i]. Simple and log returns begin with the second price;
// cumulative returns and drawdowns begin with the first, at 0. With a benchmark, both are on the days that they have in
// common.
type ReturnSeries struct {
	Target

	Kind      string           `json:"kind" jsonschema:"enum=cumulative,enum=drawdown,enum=log,enum=simple"`
	Frequency string           `json:"frequency" jsonschema:"enum=daily,enum=monthly,enum=weekly"`
	Dates     events.Days      `json:"dates"`
	Values    []*float64       `json:"values"`
	Benchmark *BenchmarkSeries `json:"benchmark,omitempty"`
}

// BenchmarkSeries is the series of the benchmark on the same days.
type BenchmarkSeries struct {
	Target

	Values []*float64 `json:"values"`
}

// Drawdowns has the deepest drawdowns, the deepest first.
type Drawdowns struct {
	Extent

	Count     int        `json:"count"` // of all drawdowns
	Drawdowns []Drawdown `json:"drawdowns"`
}

// Drawdown is a time below the highest wealth so far. Length counts the periods from start to end, or to the last day
// before recovery; Recovery counts those from the trough on.
type Drawdown struct {
	Depth    *float64    `json:"depth"`
	Start    civil.Date  `json:"start"`  // the day of the peak
	Trough   civil.Date  `json:"trough"` // the day of the lowest wealth
	End      *civil.Date `json:"end"`    // the day of recovery; null before it
	Length   int         `json:"length"`
	Recovery int         `json:"recovery"`
}

// ReturnsTable has the returns of calendar months or years.
type ReturnsTable struct {
	Extent

	By    string          `json:"by" jsonschema:"enum=monthly,enum=yearly"`
	Years []YearlyReturns `json:"years"`
}

// YearlyReturns is one year of the table of returns.
type YearlyReturns struct {
	Year         int        `json:"year"`
	Months       []*float64 `json:"months,omitempty"` // in a monthly table: January first, null without a return
	Return       *float64   `json:"return"`
	Observations int        `json:"observations"`
	Volatility   *float64   `json:"annual_volatility"`
	MaxDrawdown  *float64   `json:"max_drawdown"` // from the last price of the year before on
	Best         *float64   `json:"best"`
	Worst        *float64   `json:"worst"`
}

// RollingStatistic has one statistic of each window of consecutive returns, on the day on which the window ends.
type RollingStatistic struct {
	Extent

	Metric    string            `json:"metric"`
	Window    int               `json:"window"` // returns of each window
	Benchmark *Target           `json:"benchmark,omitempty"`
	Dates     events.Days       `json:"dates"`
	Values    []*float64        `json:"values"`
	Undefined map[string]string `json:"undefined,omitempty"` // why values are null
}
