package pricefile

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/govalues/decimal"

	"stega/civil"
	"stega/fault"
)

// The values of Options.Returns.
const (
	Ratios   = "ratio"   // 0.012 is 1.2 %
	Percents = "percent" // 1.2 is 1.2 %
	Either   = "true"    // what the file shows
)

// chain collects what returns look like.
type chain struct {
	returns int
	sum     float64 // of the sizes of returns without a percent sign
	signs   bool
}

// most decimals of a growth, so that 1 + r fits 19 digits.
const growthScale = 18

// growth parses a return r and returns 1 + r.
func (p *parser) growth(s *series, cell []byte) (number, problem) {
	text, percent := strings.CutSuffix(string(cell), "%")
	n, wrong := p.marks.slow([]byte(strings.TrimSpace(text)), p.line, false)
	if wrong == tooSmall {
		n, wrong = number{}, ""
	}
	if wrong != "" {
		return n, wrong
	}
	if s.hole > 0 {
		p.faults.add(s.hole, "the return of %s is missing between others; write 0, or divide the file", s.symbol)
		s.hole = 0
	}
	p.chain.returns++
	p.chain.signs = p.chain.signs || percent
	if !percent {
		p.chain.sum += float64(n.coef) / math.Pow10(int(n.scale))
	}
	if percent || p.opts.Returns == Percents {
		n.scale += 2
	}
	for n.scale > growthScale {
		up := n.coef%10 >= 5
		n.coef /= 10
		if n.scale--; up && n.scale == growthScale {
			n.coef++
		}
	}
	one := power10(int(n.scale))
	switch {
	case n.neg && n.coef >= one:
		return n, "which is a loss of 100 % or more; if it is in percent, add ?returns=percent"
	case n.neg:
		n.coef = one - n.coef
	case n.coef > math.MaxUint64-one:
		return n, tooLarge
	default:
		n.coef += one
	}
	n.neg = false
	for n.scale > 0 && n.coef%10 == 0 {
		n.coef /= 10
		n.scale--
	}
	return n, ""
}

// finishReturns checks that the unit of returns is known.
func (p *parser) finishReturns() error {
	if p.opts.Returns == "" {
		return nil
	}
	p.spool.growth = true
	if p.opts.Returns != Either || p.chain.returns == 0 || p.chain.signs {
		return nil
	}
	named := slices.ContainsFunc(p.header.names, func(name string) bool {
		return strings.Contains(name, "%") || strings.Contains(strings.ToLower(name), "percent")
	})
	if mean := p.chain.sum / float64(p.chain.returns); named || mean > 0.2 {
		return fault.Invalid("returns_ambiguous", "the returns may be ratios or in percent: their mean size is %.3g;"+
			" nothing was imported", mean).
			WithHint("add ?returns=ratio when 0.012 is 1.2 %%, or ?returns=percent when 1.2 is")
	}
	return nil
}

// firstPrice is the price before the first return.
const firstPrice = 100

// closesOf replaces the growths of bars by closes, after a first bar on the day before them.
func closesOf(bars []Bar) ([]Bar, error) {
	if len(bars) == 0 {
		return bars, nil
	}
	value := decimal.MustNew(firstPrice, 0)
	bars = slices.Insert(bars, 0, Bar{Day: dayBefore(bars), Close: value})
	for i := range bars[1:] {
		b := &bars[i+1]
		next, err := value.Mul(b.Close)
		if err != nil {
			return nil, fault.Invalid("prices_invalid", "the returns until %s grow beyond all prices", b.Day).
				WithHint("divide the file, or check whether its returns are ratios")
		}
		if value = next.Trim(0); !value.IsPos() {
			return nil, fault.Invalid("prices_invalid", "the returns until %s leave nothing", b.Day).
				WithHint("divide the file, or check whether its returns are ratios")
		}
		b.Close = value
	}
	return bars, nil
}

const daysOfMonth = 30.44

// dayBefore returns the day of the price before the first return: the end of the month before for monthly returns, the
// same day of the week before for weekly ones, and otherwise the working day before.
func dayBefore(bars []Bar) civil.Date {
	first := bars[0].Day
	spacing := 1
	if n := len(bars); n > 1 {
		spacing = (int(bars[n-1].Day-first) + (n-1)/2) / (n - 1)
	}
	switch {
	case spacing >= 25:
		y, m, _ := first.Civil()
		months := int(math.Round(float64(spacing) / daysOfMonth))
		return civil.Of(y, time.Month(m-months+1), 1).AddDays(-1)
	case spacing >= 5:
		return first.AddDays(-7)
	}
	day := first.AddDays(-1)
	for spacing == 1 && (day.Weekday() == 0 || day.Weekday() == 6) && first.Weekday() != 0 {
		day = day.AddDays(-1)
	}
	return day
}
