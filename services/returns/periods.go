package returns

import (
	"stega/civil"
	"stega/fault"
	"stega/quant"
	spans "stega/series"
)

// maxDrawdowns bounds how many drawdowns are answered at once.
const maxDrawdowns = 1000

// Drawdown is a time below the highest wealth so far. Length counts the periods from start to end, or to the last day
// when the peak is not reached again yet, and recovery those from the trough on.
type Drawdown struct {
	Depth    *float64    `json:"depth"`
	Start    civil.Date  `json:"start"`  // the peak before
	Trough   civil.Date  `json:"trough"` // the lowest
	End      *civil.Date `json:"end"`    // the peak is reached again; null: not yet
	Length   int         `json:"length"`
	Recovery int         `json:"recovery"`
}

// drawdowns answers with the deepest drawdowns, and how many there are in all.
func drawdowns(a asked) (any, error) {
	s := a.series
	list := []Drawdown{}
	for _, d := range quant.WorstDrawdowns(s.returns, a.limit) {
		list = append(list, Drawdown{
			Depth: finite(d.Depth), Start: s.days[d.Start+1], Trough: s.days[d.Trough+1], End: s.dayAfter(d.End, d.End >= 0), Length: d.Length, Recovery: d.Recovery,
		})
	}
	var o object
	o.head(a, s)
	o.add("count", len(quant.Drawdowns(s.returns)))
	o.add("drawdowns", list)
	return o, nil
}

// YearOf is a row of the table of returns.
type YearOf struct {
	Year         int        `json:"year"`
	Months       []*float64 `json:"months,omitempty"` // of a table by month: January first, null where there is no return
	Return       *float64   `json:"return"`
	Observations int        `json:"observations"`
	Volatility   *float64   `json:"annual_volatility"`
	MaxDrawdown  *float64   `json:"max_drawdown"` // since the last price of the year before
	Best         *float64   `json:"best"`
	Worst        *float64   `json:"worst"`
}

// tabled answers with the returns of calendar months or years. A return belongs to the month in which it ends.
func tabled(a asked) (any, error) {
	if a.frequency != spans.Daily {
		return nil, fault.Invalid("parameter_invalid", "frequency=%s does not divide months", a.frequency).WithHint("leave out frequency: a table is made of daily returns")
	}
	var o object
	o.head(a, a.series)
	o.add("by", a.by)
	years, months := calendar(a.series)
	rows := a.yearly(years)
	if a.by == "monthly" {
		table, err := quant.CalendarTable(a.series.returns, years, months)
		if err != nil {
			return nil, err
		}
		for i, r := range table { // it has the same years
			rows[i].Months = finites(r.Months[:])
		}
	}
	o.add("years", rows)
	return o, nil
}

// calendar is the year and the month in which each return ends.
func calendar(s series) (years, months []int) {
	years, months = make([]int, len(s.returns)), make([]int, len(s.returns))
	for i := range s.returns {
		years[i], months[i], _ = s.days[i+1].Civil()
	}
	return years, months
}

func (a asked) yearly(years []int) []YearOf {
	list := []YearOf{}
	for from := 0; from < len(years); {
		to := from
		for to < len(years) && years[to] == years[from] {
			to++
		}
		r := a.series.returns[from:to]
		list = append(list, YearOf{
			Year: years[from], Observations: len(r), Return: finite(quant.CumulativeReturn(r)), Volatility: finite(quant.AnnualVolatility(r, a.periods)),
			MaxDrawdown: finite(depth(r)), Best: finite(most(r)), Worst: finite(least(r)),
		})
		from = to
	}
	return list
}
