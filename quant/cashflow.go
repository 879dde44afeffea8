package quant

import (
	"errors"
	"fmt"
	"math"
)

// Flow is money that moves at a day, counted from whatever day: negative when it is paid in, positive when it is had back.
type Flow struct {
	Day    int
	Amount float64
}

// ErrNoRate says that no rate of return makes a series of flows worth nothing.
var ErrNoRate = errors.New("no rate of return fits the flows")

// XIRR is the internal rate of return a year, money-weighted: the rate r at which Σ amount/(1+r)^(days/365) = 0, days since the first flow (act/365). Of
// several such rates it is the one nearest to 0 in ln(1+r). ErrNoRate when all flows have one sign, when all are on one day, or when there is none between −100
// % and 4·10⁸.
func XIRR(flows []Flow) (float64, error) {
	var paid, had bool
	first, last := math.MaxInt, math.MinInt
	for _, f := range flows {
		if math.IsNaN(f.Amount) || math.IsInf(f.Amount, 0) {
			return math.NaN(), fmt.Errorf("%w: an amount is %v", ErrNoRate, f.Amount)
		}
		paid, had = paid || f.Amount < 0, had || f.Amount > 0
		first, last = min(first, f.Day), max(last, f.Day)
	}
	if !paid || !had {
		return math.NaN(), fmt.Errorf("%w: they have one sign", ErrNoRate)
	}
	value := func(u float64) float64 { // u = ln(1+r); as only the sign counts, at the day from which no power overflows
		sum, at := 0.0, first
		if u < 0 {
			at = last
		}
		for _, f := range flows {
			sum += f.Amount * math.Exp(-u*float64(f.Day-at)/365)
		}
		return sum
	}
	const step, limit = 1.0 / 16, 20.0
	near := value(0)
	if near == 0 && value(step) != 0 {
		return 0, nil
	}
	up, down := near, near
	for u := step; u <= limit; u += step {
		next := value(u)
		if (next > 0) != (up > 0) {
			return math.Expm1(bisect(value, u-step, u)), nil
		}
		up = next
		next = value(-u)
		if (next > 0) != (down > 0) {
			return math.Expm1(bisect(value, -u, step-u)), nil
		}
		down = next
	}
	return math.NaN(), ErrNoRate
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

// TimeWeighted makes the returns per period of an account from its value at the end of each: (end + out)/(begin + in) − 1, where what comes in does so at the
// start of the period and what goes out at its end, both as positive amounts, and begin is the end of the period before, 0 for the first. Such returns do not
// depend on transfers. A period without capital, begin + in = 0, has NaN. ErrLength.
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
