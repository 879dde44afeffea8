package marketdata

import (
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/govalues/decimal"

	"stega/quant"
	"stega/rest"
)

// adjustedDigits is the number of digits of a computed adjusted close. A floating-point number has some fifteen.
const adjustedDigits = 12

// adjust computes the adjusted close of each bar whose source has none, from the closes and the later dividends and
// splits of bars. The returns between adjusted closes equal those of the service returns.
func adjust(bars []Bar) {
	b := quant.Bars{
		Close: make([]float64, len(bars)), Adjusted: make([]float64, len(bars)), Dividend: make([]float64, len(bars)),
		Split: make([]float64, len(bars)),
	}
	for i := range bars {
		b.Close[i], _ = bars[i].Close.Float64()
		b.Adjusted[i], b.Dividend[i], b.Split[i] = floatOf(bars[i].AdjClose), floatOf(bars[i].Dividend), floatOf(
			bars[i].Split)
	}
	for i, v := range b.AdjustedCloses() {
		if v == b.Adjusted[i] {
			continue // keep the source's value to its last digit
		}
		if v == b.Close[i] {
			bars[i].AdjClose = decimal.NullDecimal{Decimal: bars[i].Close, Valid: true}
			continue
		}
		d, err := decimal.Parse(strconv.FormatFloat(v, 'g', adjustedDigits, 64))
		bars[i].AdjClose = decimal.NullDecimal{Decimal: d.Trim(0), Valid: err == nil}
	}
}

// bars returns the bars of a window. Adjusted closes depend on all later bars.
func (s *Service) bars(ctx context.Context, symbol string, w rest.Window, adjusted bool) ([]Bar, error) {
	if !adjusted {
		return history(ctx, s.db.Read(), symbol, w.From, w.To)
	}
	bars, err := history(ctx, s.db.Read(), symbol, w.From, nil)
	if err != nil {
		return nil, err
	}
	adjust(bars)
	if w.To != nil {
		bars = slices.DeleteFunc(bars, func(b Bar) bool { return b.Day > *w.To })
	}
	return bars, nil
}

func floatOf(d decimal.NullDecimal) float64 {
	if !d.Valid {
		return math.NaN()
	}
	v, _ := d.Decimal.Float64()
	return v
}
