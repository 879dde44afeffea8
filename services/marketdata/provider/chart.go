package provider

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/govalues/decimal"

	"stega/civil"
)

// chart has the columns of a symbol in an answer, with a value or null for each timestamp.
type chart struct {
	Meta struct {
		Zone      string `json:"exchangeTimezoneName"`
		GMTOffset *int64 `json:"gmtoffset"`
		Current   struct {
			Regular struct{ Start, End int64 }
		} `json:"currentTradingPeriod"`
	}
	Timestamp  []int64
	Indicators struct {
		Quote    []struct{ Open, High, Low, Close, Volume []json.Number }
		AdjClose []struct {
			AdjClose []json.Number `json:"adjclose"`
		} `json:"adjclose"`
	}
	Events struct {
		Dividends map[string]dividendEvent
		Splits    map[string]splitEvent
	}
}

type dividendEvent struct {
	Date   int64
	Amount json.Number
}

type splitEvent struct {
	Date                   int64
	Numerator, Denominator json.Number
}

// chartFault is the error in place of a chart.
type chartFault struct{ Code, Description string }

func (f chartFault) error() error {
	switch {
	case f.Code == "Not Found":
		return errUnknownSymbol
	case strings.HasPrefix(f.Description, "Data doesn't exist"):
		return errNoData
	case f.Code == "Unauthorized":
		return errDenied
	}
	return strange("%.100s: %.200s", f.Code, f.Description)
}

// readChart decodes an answer. It leaves out a day that is not over at the time of the answer, since its price is not a
// close.
func readChart(body []byte, now time.Time) ([]Bar, error) {
	var answer struct {
		Chart struct {
			Result []chart
			Error  *chartFault
		}
		Finance struct{ Error *chartFault }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, strange("it is no chart").Because(err)
	}
	if f := cmp.Or(answer.Chart.Error, answer.Finance.Error); f != nil {
		return nil, f.error()
	}
	if len(answer.Chart.Result) != 1 {
		return nil, strange("it has %d charts", len(answer.Chart.Result))
	}
	c := &answer.Chart.Result[0]
	zone, err := c.zone()
	if err != nil {
		return nil, err
	}
	return c.bars(zone, now)
}

// zone returns the time zone of the exchange. Without a known name it is today's offset, which may be wrong for other
// days.
func (c *chart) zone() (*time.Location, error) {
	if c.Meta.Zone != "" {
		if zone, err := time.LoadLocation(c.Meta.Zone); err == nil && c.Meta.Zone != "Local" {
			return zone, nil
		}
	}
	offset := c.Meta.GMTOffset
	if offset == nil || *offset < -24*3600 || *offset > 24*3600 {
		return nil, strange("it does not say in which time zone the exchange is")
	}
	return time.FixedZone("", int(*offset)), nil
}

// day returns the day of a timestamp at the exchange.
func day(stamp int64, zone *time.Location) (civil.Date, error) {
	t := time.Unix(stamp, 0).In(zone)
	if stamp < -1<<33 || stamp > 1<<33 || t.Year() < 1800 || t.Year() > 2199 {
		return 0, strange("%d is no time of a bar", stamp)
	}
	return civil.FromTime(t), nil
}

// bars returns the bars of the columns, in the order of days, one for each day.
func (c *chart) bars(zone *time.Location, now time.Time) ([]Bar, error) {
	rows, err := c.rows(zone, now)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	if err := c.pay(zone, rows); err != nil {
		return nil, err
	}
	if err := c.split(zone, rows); err != nil {
		return nil, err
	}
	bars := make([]Bar, len(rows))
	shares := big.NewRat(1, 1) // shares of today for one share of the day
	for i := len(rows) - 1; i >= 0; i-- {
		if bars[i], err = rows[i].bar(shares); err != nil {
			return nil, strange("the values of %s make no sense", rows[i].day).Because(err)
		}
		if rows[i].split != nil {
			shares.Mul(shares, rows[i].split)
			if err := plausible(shares); err != nil {
				return nil, err
			}
		}
	}
	return bars, nil
}

// row is a day of a chart.
type row struct {
	day                              civil.Date
	open, high, low, close, adjusted json.Number
	volume                           json.Number
	dividends                        []json.Number
	split                            *big.Rat
}

// rows returns the days that have a close and are over.
func (c *chart) rows(zone *time.Location, now time.Time) ([]row, error) {
	if len(c.Timestamp) == 0 {
		return nil, nil
	}
	if len(c.Indicators.Quote) != 1 {
		return nil, strange("it has no prices")
	}
	q := &c.Indicators.Quote[0]
	adjusted := make([]json.Number, len(c.Timestamp))
	if len(c.Indicators.AdjClose) == 1 {
		adjusted = c.Indicators.AdjClose[0].AdjClose
	}
	for _, column := range [][]json.Number{q.Open, q.High, q.Low, q.Close, q.Volume, adjusted} {
		if len(column) != len(c.Timestamp) {
			return nil, strange("a column has %d values for %d days", len(column), len(c.Timestamp))
		}
	}
	open := civil.Date(math.MinInt32)
	if session := c.Meta.Current.Regular; session.Start != 0 && now.Unix() < session.End {
		var err error
		if open, err = day(session.Start, zone); err != nil {
			return nil, err
		}
	}
	var rows []row
	for i, stamp := range c.Timestamp {
		d, err := day(stamp, zone)
		if err != nil {
			return nil, err
		}
		if price, _ := q.Close[i].Float64(); price == 0 || d == open { // null and zero are no price
			continue
		}
		rows = append(rows, row{
			day: d, open: q.Open[i], high: q.High[i], low: q.Low[i], close: q.Close[i], adjusted: adjusted[i],
			volume: q.Volume[i],
		})
	}
	slices.SortStableFunc(rows, func(a, b row) int { return int(a.day - b.day) })
	kept := rows[:0]
	for i := range rows { // of two rows of a day, the later counts
		if i+1 == len(rows) || rows[i+1].day != rows[i].day {
			kept = append(kept, rows[i])
		}
	}
	return kept, nil
}

// on returns the first row on or after a day, where an action of that day takes effect; nil when there is none yet.
func on(rows []row, d civil.Date) *row {
	i, _ := slices.BinarySearchFunc(rows, d, func(r row, d civil.Date) int { return int(r.day - d) })
	if i == len(rows) {
		return nil
	}
	return &rows[i]
}

// pay adds the dividends to their rows.
func (c *chart) pay(zone *time.Location, rows []row) error {
	for _, key := range slices.Sorted(maps.Keys(c.Events.Dividends)) {
		e := c.Events.Dividends[key]
		d, err := day(e.Date, zone)
		if err != nil {
			return err
		}
		if r := on(rows, d); r != nil && e.Amount != "" {
			r.dividends = append(r.dividends, e.Amount)
		}
	}
	return nil
}

// split adds the splits to their rows.
func (c *chart) split(zone *time.Location, rows []row) error {
	for _, e := range c.Events.Splits {
		d, err := day(e.Date, zone)
		if err != nil {
			return err
		}
		ratio, err := e.ratio()
		if err != nil {
			return err
		}
		if r := on(rows, d); r != nil {
			if r.split == nil {
				r.split = big.NewRat(1, 1)
			}
			r.split.Mul(r.split, ratio)
		}
	}
	return nil
}

// ratio returns the number of new shares for an old one.
func (e splitEvent) ratio() (*big.Rat, error) {
	n, err := decimal.Parse(e.Numerator.String())
	d, wrong := decimal.Parse(e.Denominator.String())
	if err != nil || wrong != nil || !n.IsPos() || !d.IsPos() {
		return nil, strange("a split of %s to %s makes no sense", e.Numerator, e.Denominator)
	}
	ratio := new(big.Rat).Quo(rational(n), rational(d))
	return ratio, plausible(ratio)
}

// plausible returns a fault for splits that would leave nothing of a price.
func plausible(ratio *big.Rat) error {
	if f, _ := ratio.Float64(); f < 1e-9 || f > 1e9 {
		return strange("splits of %s in all make no sense", ratio.FloatString(3))
	}
	return nil
}

// rational returns a decimal as a fraction.
func rational(d decimal.Decimal) *big.Rat {
	r, _ := new(big.Rat).SetString(d.String())
	return r
}

// bar returns a row with prices as traded. shares is the number of today's shares for one share of the day.
func (r row) bar(shares *big.Rat) (Bar, error) {
	b := Bar{Day: r.day}
	var last decimal.NullDecimal
	none, fewer := big.NewRat(1, 1), new(big.Rat).Inv(shares)
	for _, v := range []struct {
		name  string
		from  json.Number
		to    *decimal.NullDecimal
		times *big.Rat
	}{
		{"close", r.close, &last, shares},
		{"open", r.open, &b.Open, shares},
		{"high", r.high, &b.High, shares},
		{"low", r.low, &b.Low, shares},
		{"adjusted close", r.adjusted, &b.AdjClose, none},
		{"volume", r.volume, &b.Volume, fewer},
	} {
		if v.from == "" {
			continue
		}
		d, err := times(v.from, v.times)
		if err != nil {
			return b, fmt.Errorf("%s: %w", v.name, err)
		}
		if v.to == &b.Volume {
			d = d.Round(0)
		}
		if !d.IsZero() || v.to == &b.Volume {
			*v.to = decimal.NullDecimal{Decimal: d, Valid: true}
		}
	}
	if !last.Valid {
		return b, errors.New("the close is as good as zero")
	}
	b.Close = last.Decimal
	for _, amount := range r.dividends {
		d, err := times(amount, shares)
		if err != nil {
			return b, fmt.Errorf("dividend: %w", err)
		}
		if d, err = d.Add(b.Dividend.Decimal); err != nil {
			return b, fmt.Errorf("dividend: %w", err)
		}
		b.Dividend = decimal.NullDecimal{Decimal: d, Valid: true}
	}
	if r.split != nil {
		d, err := decimal.Parse(r.split.FloatString(12))
		if err != nil || !d.IsPos() {
			return b, errors.Join(err, errors.New("the split is not above zero"))
		}
		b.Split = decimal.NullDecimal{Decimal: d.Trim(0), Valid: true}
	}
	return b, nil
}

// times returns a number times a factor. Numbers are 32-bit floats written in full (185.63999938964844). For these it
// returns the shortest decimal (185.64) within their precision, before and after the multiplication.
func times(n json.Number, factor *big.Rat) (decimal.Decimal, error) {
	v, err := n.Float64()
	if err != nil || v < 0 {
		return decimal.Zero, errors.Join(err, fmt.Errorf("%.40q is no quantity", n))
	}
	near := float32(v)
	if float64(near) != v {
		return product(n, factor)
	}
	f, _ := factor.Float64()
	half := float64(math.Nextafter32(near, math.MaxFloat32)-near) / 2
	for digits := range decimal.MaxScale + 1 {
		text := strconv.FormatFloat(v*f, 'f', digits, 64)
		short, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return decimal.Zero, err
		}
		if math.Abs(short-v*f) <= half*f {
			d, err := decimal.Parse(text)
			return d.Trim(0), err
		}
	}
	return decimal.Zero, nil // too small for a decimal
}

// product returns the product of an exact number, with at most twelve digits after the point unless the number has
// more.
func product(n json.Number, factor *big.Rat) (decimal.Decimal, error) {
	d, err := decimal.Parse(n.String())
	if err != nil || factor.Cmp(big.NewRat(1, 1)) == 0 {
		return d.Trim(0), err
	}
	r := rational(d)
	r.Mul(r, factor)
	for digits := 12; digits >= 0; digits-- {
		if d, err = decimal.Parse(r.FloatString(digits)); err == nil {
			break
		}
	}
	return d.Trim(0), err
}
