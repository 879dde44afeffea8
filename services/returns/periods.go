package returns

import (
	"stega/civil"
	"stega/fault"
	"stega/quant"
	spans "stega/series"
)

// maxDrawdowns bounds the drawdowns of one answer.
const maxDrawdowns = 1000

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

// drawdowns returns the answer with the deepest drawdowns and the number of all.
func drawdowns(a request) (any, error) {
	s := a.series
	list := []Drawdown{}
	for _, d := range quant.WorstDrawdowns(s.returns, a.limit) {
		list = append(list, Drawdown{
			Depth: finite(d.Depth), Length: d.Length, Recovery: d.Recovery,
			Start: s.days[d.Start+1], Trough: s.days[d.Trough+1], End: s.endDay(d.End, d.End >= 0),
		})
	}
	var o object
	o.addHead(a, s)
	o.add("count", len(quant.Drawdowns(s.returns)))
	o.add("drawdowns", list)
	return o, nil
}

// YearOf is one year of the table of returns.
type YearOf struct {
	Year         int        `json:"year"`
	Months       []*float64 `json:"months,omitempty"` // in a monthly table: January first, null without a return
	Return       *float64   `json:"return"`
	Observations int        `json:"observations"`
	Volatility   *float64   `json:"annual_volatility"`
	MaxDrawdown  *float64   `json:"max_drawdown"` // from the last price of the year before on
	Best         *float64   `json:"best"`
	Worst        *float64   `json:"worst"`
}

// tabled returns the answer with the returns by calendar month or year. A return belongs to the month in which it ends.
func tabled(a request) (any, error) {
	if a.frequency != spans.Daily {
		return nil, fault.Invalid("parameter_invalid", "frequency=%s does not divide months", a.frequency).
			WithHint("leave out frequency: a table is computed from daily returns")
	}
	var o object
	o.addHead(a, a.series)
	o.add("by", a.by)
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
	o.add("years", rows)
	return o, nil
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
func (a request) yearly(years []int) []YearOf {
	list := []YearOf{}
	for from := 0; from < len(years); {
		to := from
		for to < len(years) && years[to] == years[from] {
			to++
		}
		r := a.series.returns[from:to]
		list = append(list, YearOf{
			Year: years[from], Observations: len(r), Return: finite(quant.CumulativeReturn(r)),
			Volatility: finite(quant.AnnualVolatility(r, a.periods)), MaxDrawdown: finite(maxDrawdown(r)),
			Best: finite(maxReturn(r)), Worst: finite(minReturn(r)),
		})
		from = to
	}
	return list
}
