package returns

import (
	"stega/api"
	"stega/fault"
	"stega/quant"
	spans "stega/series"
)

// maxDrawdowns bounds the drawdowns of one answer.
const maxDrawdowns = 1000

// drawdowns returns the answer with the deepest drawdowns and the number of all.
func drawdowns(a request) (any, error) {
	s := a.series
	list := []api.Drawdown{}
	for _, d := range quant.WorstDrawdowns(s.returns, a.limit) {
		list = append(list, api.Drawdown{
			Depth: finite(d.Depth), Length: d.Length, Recovery: d.Recovery,
			Start: s.days[d.Start+1], Trough: s.days[d.Trough+1], End: s.endDay(d.End, d.End >= 0),
		})
	}
	return api.Drawdowns{Extent: a.extent(a.target, s), Count: len(quant.Drawdowns(s.returns)), Drawdowns: list}, nil
}

// tabled returns the answer with the returns by calendar month or year. A return belongs to the month in which it ends.
func tabled(a request) (any, error) {
	if a.frequency != spans.Daily {
		return nil, fault.Invalid("parameter_invalid", "frequency=%s does not divide months", a.frequency).
			WithHint("leave out frequency: a table is computed from daily returns")
	}
	years, months := calendar(a.series)
	rows := a.yearly(years)
	if a.by == "monthly" {
		table, err := quant.CalendarTable(a.series.returns, years, months)
		if err != nil {
			return nil, err
		}
		for i, r := range table { // one row for each year, as in rows
			rows[i].Months = finites(r.Months[:])
		}
	}
	return api.ReturnsTable{Extent: a.extent(a.target, a.series), By: a.by, Years: rows}, nil
}

// calendar returns the year and the month in which each return ends.
func calendar(s series) (years, months []int) {
	years, months = make([]int, len(s.returns)), make([]int, len(s.returns))
	for i := range s.returns {
		years[i], months[i], _ = s.days[i+1].Civil()
	}
	return years, months
}

// yearly returns one row for each year; years[i] is the year of return i.
func (a request) yearly(years []int) []api.YearlyReturns {
	list := []api.YearlyReturns{}
	for from := 0; from < len(years); {
		to := from
		for to < len(years) && years[to] == years[from] {
			to++
		}
		r := a.series.returns[from:to]
		list = append(list, api.YearlyReturns{
			Year: years[from], Observations: len(r), Return: finite(quant.CumulativeReturn(r)),
			Volatility: finite(quant.AnnualVolatility(r, a.periods)), MaxDrawdown: finite(maxDrawdown(r)),
			Best: finite(maxReturn(r)), Worst: finite(minReturn(r)),
		})
		from = to
	}
	return list
}
