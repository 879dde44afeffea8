package quant

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Flow is money that moves at a day, counted from whatever day: negative when it is paid in, positive when it is had
// back.
type Flow struct {
	Day    int
	Amount float64
}

// ErrNoRate says that no rate of return makes a series of flows worth nothing.
var ErrNoRate = errors.New("no rate of return fits the flows")

// XIRR returns the internal rate of return a year, money-weighted: the rate r at which Σ amount/(1+r)^(days/365) = 0,
// days since the first flow (act/365). Of several such rates it is the one nearest to 0 in ln(1+r); Rates returns all
// of them. Errors are as for Rates.
func XIRR(flows []Flow) (float64, error) {
	rates, err := Rates(flows)
	if err != nil {
		return math.NaN(), err
	}
	return rates[0], nil
}

// Rates returns every rate of return at which flows are worth nothing, the nearest to 0 in ln(1+r) first. There are
// no more than the amounts, in the order of their days, change their sign; with one change there is one at most, and
// it is the rate that one means. Where the worth touches 0 without crossing it, that counts as one rate, and so do
// rates that differ by less than a millionth. ErrNoRate when all flows have one sign, when all are on one day, or
// when there is no rate between −100 % and 4·10⁸.
//
// What is paid and what is had back each lose worth as the rate grows. So between two rates the worth lies between
// bounds that its two ends give, and so does its slope: stretches without a rate are left out for certain, and others
// are halved until the worth goes one way.
func Rates(flows []Flow) ([]float64, error) {
	var paid, had bool
	first, last := math.MaxInt, math.MinInt
	for _, f := range flows {
		if math.IsNaN(f.Amount) || math.IsInf(f.Amount, 0) {
			return nil, fmt.Errorf("%w: an amount is %v", ErrNoRate, f.Amount)
		}
		paid, had = paid || f.Amount < 0, had || f.Amount > 0
		first, last = min(first, f.Day), max(last, f.Day)
	}
	if !paid || !had {
		return nil, fmt.Errorf("%w: they have one sign", ErrNoRate)
	}
	if first == last {
		return nil, fmt.Errorf("%w: they are on one day", ErrNoRate)
	}
	// u = ln(1+r); as only the sign of the worth counts, it is that of the day from which no power overflows.
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
		return nil, fmt.Errorf("%w: those of each day cancel", ErrNoRate)
	}
	roots := above.find(limit)
	for _, u := range below.find(limit) {
		roots = append(roots, -u)
	}
	slices.Sort(roots)
	// One that touches 0, or lies on a border, is found on both sides.
	for i := len(roots) - 1; i > 0; i-- {
		if roots[i]-roots[i-1] < 2*finest {
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

// finest is how far apart two rates are at least, in ln(1+r), to count as two.
const finest = 1e-6

// term is an amount in so many years.
type term struct{ years, amount float64 }

// discounted is flows whose worth at u is Σ amount·exp(−u·years), years and u from 0 up.
type discounted struct {
	terms  []term
	budget int // how often the worth may be taken
}

// find returns where the worth is 0 from 0 to a limit. Flows beyond number, which nearly cancel everywhere, are
// looked at less closely.
func (d *discounted) find(limit float64) []float64 {
	d.budget = max(2000, 20_000_000/len(d.terms))
	return d.roots(0, limit, nil)
}

// worth is what is had and what is paid at some u, both positive, and how fast each shrinks.
type worth struct{ had, paid, hadSlope, paidSlope float64 }

func (d *discounted) at(u float64) (w worth) {
	d.budget--
	for _, t := range d.terms {
		v := t.amount * math.Exp(-u*t.years)
		if v > 0 {
			w.had += v
			w.hadSlope += v * t.years
		} else {
			w.paid -= v
			w.paidSlope -= v * t.years
		}
	}
	return w
}

func (w worth) sum() float64 { return w.had - w.paid }

// roots appends where the worth is 0 between low and high.
func (d *discounted) roots(low, high float64, out []float64) []float64 {
	a, b := d.at(low), d.at(high)
	if b.had > a.paid || b.paid > a.had {
		return out // all that shrinks, shrinks to more than the other begins with
	}
	switch oneWay := b.hadSlope > a.paidSlope || b.paidSlope > a.hadSlope; {
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
	if high-low < finest || d.budget < 0 { // it touches 0, or two rates are no different
		w := d.at(middle)
		switch {
		case (a.sum() > 0) != (b.sum() > 0):
			out = append(out, bisect(func(u float64) float64 { return d.at(u).sum() }, low, high))
		case math.Abs(w.sum()) <= 1e-12*math.Min(w.had, w.paid):
			out = append(out, middle)
		}
		return out
	}
	return d.roots(middle, high, d.roots(low, middle, out))
}

// bisect finds where f, which has different signs at low and high, is 0.
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

// TimeWeighted makes the returns per period of an account from its value at the end of each: (end + out)/(begin + in)
// − 1, where what comes in does so at the start of the period and what goes out at its end, both as positive amounts,
// and begin is the end of the period before, 0 for the first. Such returns do not depend on transfers. A period
// without capital, begin + in = 0, has NaN. ErrLength.
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
