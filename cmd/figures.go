package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"stega/api"
	"stega/civil"
)

// percentual are the figures that people read as percents.
var percentual = map[string]bool{
	"return": true, "annual_return": true, "arithmetic_return": true, "cumulative_return": true, "cagr": true,
	"volatility": true, "annual_volatility": true,
	"downside_risk": true, "max_drawdown": true, "best": true, "worst": true, "mean_absolute_deviation": true,
	"semi_deviation": true, "var": true,
	"cvar": true, "historical_var": true, "historical_cvar": true, "gaussian_var": true, "gaussian_cvar": true,
	"modified_var":  true,
	"modified_cvar": true, "ulcer_index": true, "pain_index": true, "alpha": true, "up_alpha": true, "down_alpha": true,
	"tracking_error": true,
	"jensen_alpha":   true, "systematic_risk": true, "specific_risk": true, "total_risk": true, "m_squared": true,
	"m_squared_excess":            true,
	"m_squared_excess_arithmetic": true, "m2_sortino": true, "omega_excess_return": true, "capture": true,
	"up_capture": true, "down_capture": true,
	"downside_deviation": true, "downside_potential": true, "downside_frequency": true, "upside_risk": true,
	"upside_potential": true, "upside_frequency": true,
}

// sheet is a table of figures in groups.
type sheet struct {
	table

	undefined map[string]string
}

// group begins a group of figures.
func (s *sheet) group(name string) {
	if len(s.rows) > 0 {
		s.add("")
	}
	s.add(name)
}

// figure adds one, by its name for people and that in JSON, and says why it is not there.
func (s *sheet) figure(label, name string, v *float64) {
	text := ratio(v)
	if percentual[name] {
		text = percent(v)
	}
	why := ""
	if v == nil {
		why = s.undefined[name]
	}
	s.add(label, text, why)
}

// figures are returns for people: those that most people mean, or all.
func figures(r api.Returns, benchmark string, all bool) table {
	s := &sheet{table: table{head: []string{"", ">", ""}}, undefined: r.Undefined}
	if all {
		s.all(r)
	} else {
		s.main(r)
	}
	if r.Benchmark != nil {
		s.against(*r.Benchmark, benchmark)
	}
	return s.table
}

// main adds the figures that most people mean.
func (s *sheet) main(r api.Returns) {
	s.figure("CAGR", "cagr", r.CAGR)
	s.figure("annual volatility", "annual_volatility", r.AnnualVolatility)
	s.figure("Sharpe ratio", "sharpe", r.Sharpe)
	s.drawdown(r)
	s.figure("cumulative return", "cumulative_return", r.CumulativeReturn)
	s.figure("best "+period[r.Frequency], "best", r.Best)
	s.figure("worst "+period[r.Frequency], "worst", r.Worst)
	s.figure("value at risk of a "+period[r.Frequency]+", "+confidence(r), "historical_var", r.HistoricalVaR)
	s.figure("  and the mean beyond (CVaR)", "historical_cvar", r.HistoricalCVaR)
}

// confidence is that of the values at risk, as people write it.
func confidence(r api.Returns) string {
	return strconv.FormatFloat(r.Confidence*100, 'g', 6, 64) + " %"
}

func (s *sheet) all(r api.Returns) {
	s.group("RETURN")
	s.figure("annual return", "annual_return", r.AnnualReturn)
	s.figure("arithmetic annual return", "arithmetic_return", r.ArithmeticReturn)
	s.figure("cumulative return", "cumulative_return", r.CumulativeReturn)
	s.figure("CAGR", "cagr", r.CAGR)
	s.figure("best "+period[r.Frequency], "best", r.Best)
	s.figure("worst "+period[r.Frequency], "worst", r.Worst)
	if r.RiskFree != 0 {
		s.add("risk-free rate", percent(&r.RiskFree), "")
	}
	if r.Required != r.RiskFree {
		s.add("required return", percent(&r.Required), "")
	}

	s.group("RISK")
	s.figure("annual volatility", "annual_volatility", r.AnnualVolatility)
	s.figure("downside risk", "downside_risk", r.DownsideRisk)
	s.figure("skewness", "skewness", r.Skewness)
	s.figure("excess kurtosis", "excess_kurtosis", r.ExcessKurtosis)
	s.figure("tail ratio", "tail_ratio", r.TailRatio)
	s.figure("stability", "stability", r.Stability)

	s.group("RISK-ADJUSTED")
	s.figure("Sharpe ratio", "sharpe", r.Sharpe)
	s.figure("Sortino ratio", "sortino", r.Sortino)
	s.figure("Calmar ratio", "calmar", r.Calmar)
	s.figure("Omega ratio", "omega", r.Omega)
	s.figure("adjusted Sharpe ratio", "adjusted_sharpe", r.AdjustedSharpe)
	s.figure("Martin ratio", "martin_ratio", r.MartinRatio)
	s.figure("Burke ratio", "burke_ratio", r.Burke)
	s.figure("gain-loss ratio", "gain_loss_ratio", r.GainLossRatio)

	s.group("VALUE AT RISK of a " + period[r.Frequency] + ", " + confidence(r) + ": the return; a loss is negative")
	s.figure("historical", "historical_var", r.HistoricalVaR)
	s.figure("  and the mean beyond (CVaR)", "historical_cvar", r.HistoricalCVaR)
	s.figure("Gaussian", "gaussian_var", r.GaussianVaR)
	s.figure("  and the mean beyond (CVaR)", "gaussian_cvar", r.GaussianCVaR)
	s.figure("Cornish-Fisher", "modified_var", r.ModifiedVaR)
	s.figure("  and the mean beyond (CVaR)", "modified_cvar", r.ModifiedCVaR)

	s.group("DRAWDOWN")
	s.drawdown(r)
	s.figure("ulcer index", "ulcer_index", r.UlcerIndex)
	s.figure("pain index", "pain_index", r.PainIndex)
}

var period = map[string]string{"daily": "day", "weekly": "week", "monthly": "month"}

func (s *sheet) drawdown(r api.Returns) {
	s.figure("max drawdown", "max_drawdown", r.MaxDrawdown)
	if r.MaxDrawdownStart != nil {
		s.add("  from the peak of", day(r.MaxDrawdownStart), "")
		s.add("  to the trough of", day(r.MaxDrawdownTrough), "")
		s.add("  recovered", recovered(r.MaxDrawdownEnd), "")
	}
}

// against is the comparison with a benchmark.
func (s *sheet) against(b api.RelativeReturns, name string) {
	s.group(fmt.Sprintf("AGAINST %s, %d common returns, %s to %s", name, b.Observations, b.From, b.To))
	s.undefined = b.Undefined
	s.figure("benchmark annual return", "annual_return", b.AnnualReturn)
	s.figure("benchmark annual volatility", "annual_volatility", b.AnnualVolatility)
	s.figure("benchmark max drawdown", "max_drawdown", b.MaxDrawdown)
	s.figure("alpha", "alpha", b.Alpha)
	s.figure("beta", "beta", b.Beta)
	s.figure("correlation", "correlation", b.Correlation)
	s.figure("tracking error", "tracking_error", b.TrackingError)
	s.figure("information ratio", "information_ratio", b.InformationRatio)
	s.figure("up capture", "up_capture", b.UpCapture)
	s.figure("down capture", "down_capture", b.DownCapture)
	s.figure("Treynor ratio", "treynor_ratio", b.Treynor)
	s.figure("appraisal ratio", "appraisal_ratio", b.AppraisalRatio)
	s.figure("M²", "m_squared", b.MSquared)
}

// flatten makes columns of names and values of a JSON object, in its order; a field of an object within it has both
// names. Why figures are not defined is left out.
func flatten(raw json.RawMessage) (table, error) {
	t := table{head: []string{"figure", "value"}}
	err := flattenInto(&t, "", raw)
	return t, err
}

func flattenInto(t *table, prefix string, raw json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil { // the brace
		return fmt.Errorf("read the answer: %w", err)
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		name, _ := token.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if err := flattenField(t, prefix+name, name, value); err != nil {
			return err
		}
	}
	return nil
}

func flattenField(t *table, whole, name string, value json.RawMessage) error {
	switch {
	case name == "undefined":
		return nil
	case value[0] == '{':
		return flattenInto(t, whole+".", value)
	}
	text := string(value)
	switch value[0] {
	case 'n':
		text = ""
	case '"':
		if err := json.Unmarshal(value, &text); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
	}
	t.add(whole, text)
	return nil
}

func percent(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v*100, 'f', 2, 64) + " %"
}

// brieflyPercent is percent in tables with many columns, which leave no room for the sign.
func brieflyPercent(v *float64) string { return strings.TrimSuffix(percent(v), " %") }

func ratio(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', 2, 64)
}

// exactly is a number for programs, with all its digits; nothing when there is none.
func exactly(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'g', -1, 64)
}

func day(d *civil.Date) string {
	if d == nil {
		return "-"
	}
	return d.String()
}
