package cmd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"stega/civil"
)

// The synthetic market has one factor with clustering volatility and one crash, sectors, an index of all shares by
// capitalisation, bonds and gold. Its daily log return of a share is
//
//	β·market + α + sector + own noise.
//
// The market and all noises have a mean of zero over the whole horizon, so that every seed gives plausible means.

const (
	demoYears      = 5    // before the year of the last day
	demoDays       = 260  // weekdays of a year
	demoDrift      = .075 // of the market, log, a year
	demoVolatility = .0105
	demoSector     = .0055
)

// demoShare is a share of the synthetic market.
type demoShare struct {
	symbol string
	sector int
	beta   float64
	alpha  float64 // a year
	noise  float64 // standard deviation of a day
	price  float64 // on the first day
	shares float64 // outstanding, in millions
	yield  float64 // of dividends, a year
}

var demoShares = []demoShare{
	{"DEMO-TECH", 0, 1.25, .020, .0100, 180, 900, 0},
	{"DEMO-CHIPS", 0, 1.30, .010, .0115, 95, 600, .004},
	{"DEMO-BANK", 1, 1.10, -.005, .0090, 42, 1400, .028},
	{"DEMO-INSURE", 1, .95, .005, .0085, 77, 500, .022},
	{"DEMO-OIL", 2, 1.00, -.010, .0105, 61, 800, .036},
	{"DEMO-GAS", 2, .90, .000, .0095, 33, 450, .030},
	{"DEMO-PHARMA", 3, .75, .015, .0085, 120, 550, .020},
	{"DEMO-FOOD", 3, .65, .010, .0070, 58, 700, .026},
	{"DEMO-CARS", 4, 1.20, -.010, .0110, 49, 400, .018},
	{"DEMO-RAIL", 4, .95, .010, .0085, 88, 350, .016},
	{"DEMO-POWER", 5, .70, .005, .0066, 37, 480, .034},
}

const (
	demoIndex = "DEMO-INDEX"
	demoBonds = "DEMO-BONDS"
	demoGold  = "DEMO-GOLD"
)

// demoRow is one close of the synthetic market, with what was paid or split on that day.
type demoRow struct {
	symbol          string
	close           float64
	dividend, split float64
}

// demoDay is the market on one day.
type demoDay struct {
	day  civil.Date
	rows []demoRow
}

// demoMarket returns the synthetic market from the start of the year that is demoYears before that of the last day. It
// is the same for the same seed, however often it is made within a year.
func demoMarket(seed uint64, last civil.Date) []demoDay {
	var days []civil.Date
	first, end := civil.Of(last.Year()-demoYears, time.January, 1), civil.Of(last.Year(), time.December, 31)
	for day := first; day <= end; day = day.AddDays(1) {
		if w := day.Weekday(); w != time.Saturday && w != time.Sunday {
			days = append(days, day)
		}
	}
	random := rand.New(rand.NewPCG(seed, 0x57e6a))
	market := demoFactor(random, len(days))
	noise := func() []float64 {
		x := make([]float64, len(days))
		for i := range x {
			x[i] = random.NormFloat64()
		}
		return standardised(x)
	}
	sectors := make([][]float64, 6)
	for i := range sectors {
		sectors[i] = noise()
	}
	own := make([][]float64, len(demoShares))
	for i := range own {
		own[i] = noise()
	}
	bondNoise, goldNoise := noise(), noise()

	prices, splits := make([]float64, len(demoShares)), make([]float64, len(demoShares))
	var capital float64 // on the first day
	for i, s := range demoShares {
		prices[i], splits[i] = s.price, 1
		capital += s.price * s.shares
	}
	bonds, gold := 100.0, 150.0
	splitAt := len(days) * 3 / 5
	all := make([]demoDay, 0, len(days))
	for d, day := range days {
		if day > last {
			break
		}
		one, value := demoDay{day: day}, 0.0
		for i, s := range demoShares {
			change := s.beta*(demoDrift/demoDays+demoVolatility*market[d]) + s.alpha/demoDays +
				demoSector*sectors[s.sector][d] + s.noise*own[i][d]
			prices[i] *= math.Exp(change)
			row := demoRow{symbol: s.symbol}
			if s.yield > 0 && paysDividend(days, d) {
				row.dividend = math.Round(prices[i]*s.yield/4*100) / 100
				prices[i] -= row.dividend
			}
			if i == 0 && d == splitAt {
				row.split, splits[i] = 4, 4
				prices[i] /= row.split
			}
			row.close = prices[i]
			one.rows = append(one.rows, row)
			value += prices[i] * splits[i] * s.shares
		}
		bonds *= math.Exp(.03/demoDays + .003*bondNoise[d] - .0012*market[d])
		gold *= math.Exp(.04/demoDays + .0085*goldNoise[d] - .0008*market[d])
		one.rows = append(one.rows, demoRow{symbol: demoIndex, close: 1000 * value / capital},
			demoRow{symbol: demoBonds, close: bonds}, demoRow{symbol: demoGold, close: gold})
		all = append(all, one)
	}
	return all
}

// demoFactor returns standardised daily returns of a market: the variance of a day follows that of the days before
// (GARCH(1,1)). In the third year the market falls within five weeks and recovers within five months. Half years differ
// less from each other than chance would have it, so that no seed makes a lost decade.
func demoFactor(random *rand.Rand, n int) []float64 {
	const half = demoDays / 2
	x := make([]float64, n)
	variance := 1.0
	crash := n * 2 / 5 / half * half
	for i := range x {
		x[i] = math.Sqrt(variance) * random.NormFloat64()
		variance = min(5, .03+.12*x[i]*x[i]+.85*variance)
		switch k := i - crash; {
		case k >= 0 && k < 25:
			x[i] = 1.2*x[i] - 1.7
		case k >= 25 && k < half:
			x[i] += .45
		}
	}
	for begin := 0; begin < n; begin += half {
		block := x[begin:min(n, begin+half)]
		var sum float64
		for _, v := range block {
			sum += v
		}
		for i := range block {
			block[i] -= .75 * sum / float64(len(block))
		}
	}
	return standardised(x)
}

// standardised returns x with mean 0 and standard deviation 1.
func standardised(x []float64) []float64 {
	var sum, squares float64
	for _, v := range x {
		sum += v
	}
	mean := sum / float64(len(x))
	for i := range x {
		x[i] -= mean
		squares += x[i] * x[i]
	}
	deviation := math.Sqrt(squares / float64(len(x)))
	for i := range x {
		x[i] /= deviation
	}
	return x
}

// paysDividend reports whether shares pay on a day: the first weekday from the 15th of each quarter's second month on.
func paysDividend(days []civil.Date, d int) bool {
	_, month, day := days[d].Civil()
	if month%3 != 2 || day < 15 || d == 0 {
		return false
	}
	_, before, previous := days[d-1].Civil()
	return before != month || previous < 15
}

// demoFile returns days of the synthetic market as a file of prices.
func demoFile(days []demoDay) string {
	var b strings.Builder
	b.WriteString("date,symbol,close,dividend,split\n")
	amount := func(v float64, format string) string {
		if v == 0 {
			return ""
		}
		return fmt.Sprintf(format, v)
	}
	for _, one := range days {
		for _, r := range one.rows {
			_, _ = fmt.Fprintf(
				&b, "%s,%s,%.2f,%s,%s\n", one.day, r.symbol, r.close, amount(r.dividend, "%.2f"), amount(r.split, "%g"),
			)
		}
	}
	return b.String()
}
