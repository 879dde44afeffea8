package quant

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Flow is an amount on a day: negative when paid in, positive when paid out. Days count from any origin.
type Flow struct {
	Day    int
	Amount float64
}

// ErrNoRate reports that no rate of return makes the present value of the flows 0.
var ErrNoRate = errors.New("no rate of return fits the flows")

// XIRR returns the annual internal rate of return, which is money-weighted: the rate r with Σ amount/(1+r)^(days/365)
// = 0, with days since the first flow (act/365). Of several such rates it returns the one nearest to 0 in ln(1+r);
// Rates returns all. Errors are those of Rates.
func XIRR(flows []Flow) (float64, error) {
	rates, err := Rates(flows)
	if err != nil {
		return math.NaN(), err
	}
	return rates[0], nil
}

// Rates returns every rate of return at which the present value of the flows is 0, the nearest to 0 in ln(1+r) first.
// There are at most as many as the amounts, in order of their days, change sign; with one change there is at most
// one. A present value that touches 0 without crossing it counts as one rate, and so do rates that differ by less
// than a millionth. Errors: ErrNoRate when all flows have one sign or one day, when an amount is not finite, and when
// no rate lies between −100 % and 4·10⁸.
//
// The present values of payments in and of payments out both fall as the rate rises. So their values at two rates
// bound the total between these rates, and also its slope. Intervals without a rate are excluded with certainty;
// others are halved until the total is monotone.
func Rates(flows []Flow) ([]float64, error) {
	var paid, received bool
	first, last := math.MaxInt, math.MinInt
	for _, f := range flows {
		if math.IsNaN(f.Amount) || math.IsInf(f.Amount, 0) {
			return nil, fmt.Errorf("%w: an amount is %v", ErrNoRate, f.Amount)
		}
		paid, received = paid || f.Amount < 0, received || f.Amount > 0
		first, last = min(first, f.Day), max(last, f.Day)
	}
	if !paid || !received {
		return nil, fmt.Errorf("%w: all have one sign", ErrNoRate)
	}
	if first == last {
		return nil, fmt.Errorf("%w: all are on one day", ErrNoRate)
	}
	// u = ln(1+r). Only the sign matters, so the value is taken on the day from which no power overflows.
	const limit = 20.0
	byDay := map[int]float64{}
	for _, f := range flows {
		byDay[f.Day] += f.Amount
	}
	var above, below discounted
	for _, day := range slices.Sorted(maps.Keys(byDay)) {
		if amount := byDay[day]; amount != 0 {
			above.terms = append(above.terms, term{float64(day-first) / 365, amount})
			below.terms = append(below.terms, term{float64(last-day) / 365, amount})
		}
	}
	if len(above.terms) == 0 {
		return nil, fmt.Errorf("%w: the flows of each day cancel", ErrNoRate)
	}
	roots := above.find(limit)
	for _, u := range below.find(limit) {
		roots = append(roots, -u)
	}
	slices.Sort(roots)
	// A root that touches 0 or lies on a border is found from both sides.
	for i := len(roots) - 1; i > 0; i-- {
		if roots[i]-roots[i-1] < 2*minSeparation {
			roots = slices.Delete(roots, i, i+1)
		}
	}
	slices.SortStableFunc(roots, func(a, b float64) int { return cmp.Compare(math.Abs(a), math.Abs(b)) })
	if len(roots) == 0 {
		return nil, ErrNoRate
	}
	for i, u := range roots {
		roots[i] = math.Expm1(u)
	}
	return roots, nil
}

// minSeparation is the least difference of two distinct rates, in ln(1+r).
const minSeparation = 1e-6

// term is an amount and its time in years.
type term struct{ years, amount float64 }

// discounted computes the present value Σ amount·exp(−u·years) of its terms at u, for years and u of at least 0.
type discounted struct {
	terms  []term
	budget int // how many more values may be computed
}

// find returns the roots of the present value between 0 and limit. The budget limits the precision for flows that
// nearly cancel everywhere.
func (d *discounted) find(limit float64) []float64 {
	d.budget = max(2000, 20_000_000/len(d.terms))
	return d.roots(0, limit, nil)
}

// presentValue holds the present values of payments out and in at some u, both positive, and their slopes.
type presentValue struct{ received, paid, receivedSlope, paidSlope float64 }

func (d *discounted) at(u float64) (w presentValue) {
	d.budget--
	for _, t := range d.terms {
		v := t.amount * math.Exp(-u*t.years)
		if v > 0 {
			w.received += v
			w.receivedSlope += v * t.years
		} else {
			w.paid -= v
			w.paidSlope -= v * t.years
		}
	}
	return w
}

func (w presentValue) sum() float64 { return w.received - w.paid }

// roots appends the roots of the present value between low and high.
func (d *discounted) roots(low, high float64, out []float64) []float64 {
	a, b := d.at(low), d.at(high)
	if b.received > a.paid || b.paid > a.received {
		return out // one side stays above the other on the whole interval
	}
	switch oneWay := b.receivedSlope > a.paidSlope || b.paidSlope > a.receivedSlope; {
	case oneWay && a.sum() == 0:
		return append(out, low)
	case oneWay && b.sum() == 0:
		return append(out, high)
	case oneWay && (a.sum() > 0) != (b.sum() > 0):
		return append(out, bisect(func(u float64) float64 { return d.at(u).sum() }, low, high))
	case oneWay:
		return out
	}
	middle := low + (high-low)/2
	if high-low < minSeparation || d.budget < 0 { // it touches 0, or two rates are indistinguishable
		w := d.at(middle)
		switch {
		case (a.sum() > 0) != (b.sum() > 0):
			out = append(out, bisect(func(u float64) float64 { return d.at(u).sum() }, low, high))
		case math.Abs(w.sum()) <= 1e-12*math.Min(w.received, w.paid):
			out = append(out, middle)
		}
		return out
	}
	return d.roots(middle, high, d.roots(low, middle, out))
}

// bisect returns the root of f, which has different signs at low and high.
func bisect(f func(float64) float64, low, high float64) float64 {
	below := f(low) > 0
	for range 200 {
		middle := low + (high-low)/2
		if middle == low || middle == high {
			break
		}
		if (f(middle) > 0) == below {
			low = middle
		} else {
			high = middle
		}
	}
	return low + (high-low)/2
}

// TimeWeighted returns the time-weighted returns of an account per period: (end + out)/(begin + in) − 1. ends holds
// the value at the end of each period; begin is the end of the period before, 0 for the first. in flows at the start
// of the period and out at its end, both as positive amounts. Such returns do not depend on transfers. A period
// without capital (begin + in = 0) is NaN. Errors: ErrLength.
func TimeWeighted(ends, in, out []float64) ([]float64, error) {
	if len(in) != len(ends) || len(out) != len(ends) {
		return nil, fmt.Errorf("%w: %d values, %d and %d flows", ErrLength, len(ends), len(in), len(out))
	}
	returns := make([]float64, len(ends))
	begin := 0.0
	for t, end := range ends {
		returns[t] = math.NaN()
		if capital := begin + in[t]; capital != 0 {
			returns[t] = (end+out[t])/capital - 1
		}
		begin = end
	}
	return returns, nil
}
