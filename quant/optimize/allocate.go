package optimize

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Allocation is a portfolio in whole shares.
type Allocation struct {
	Shares   []int64 // of each asset; negative: sold short
	Leftover float64 // money that is not spent: of the long side, and of the permitted short sales
	// RMSE is the root mean squared difference between the weights of the shares and the target weights. With short
	// positions and Order.Short, the weights are parts of the sum of all positions, as in PyPortfolioOpt; with short
	// positions alone, they are parts of the money.
	RMSE float64
	// Exact reports that no other allocation is nearer by Σ|wᵢ·money − sharesᵢ·priceᵢ| + leftover. It is false for
	// every greedy allocation.
	Exact bool
}

// Order is a target portfolio to convert to shares.
type Order struct {
	Names   []string
	Weights []float64 // sum to at most one without short positions
	Prices  []float64 // of one share, above zero
	Money   float64
	// Short sells a part of the money short, and buys long positions for all of the money, in the proportions of the
	// weights: .3 makes a 130/30 portfolio, as in PyPortfolioOpt. Zero stands for the weights themselves: each
	// position is worth weight·money.
	Short float64
	// Reinvest buys long positions with the proceeds of Short, too. The weights themselves need no such choice.
	Reinvest bool
}

// side is the long or the short part of an order: positive weights, and the money for them.
type side struct {
	assets  []int
	weights []float64
	prices  []float64
	money   float64
}

// AllocateGreedily returns whole shares by the algorithm of PyPortfolioOpt. In order of weight, it buys the whole
// shares that each weight can pay for. Then, one share at a time, it buys the asset farthest below its weight among
// those that the rest of the money can pay for. Long and short positions are allocated separately, with weights that
// sum to one. It never spends more than the money. Errors: *InvalidError.
func AllocateGreedily(o Order) (*Allocation, error) {
	return o.allocate(func(s side) ([]int64, bool) { return s.greedy(), false })
}

func (o Order) allocate(fill func(side) ([]int64, bool)) (*Allocation, error) {
	sides, err := o.sides()
	if err != nil {
		return nil, err
	}
	out := &Allocation{Shares: make([]int64, len(o.Weights)), Exact: true}
	for k, s := range sides {
		shares, exact := fill(s)
		out.Exact = out.Exact && exact
		out.Leftover += s.left(shares)
		for i, a := range s.assets {
			out.Shares[a] = shares[i]
			if k == 1 {
				out.Shares[a] = -shares[i]
			}
		}
	}
	out.RMSE = o.rmse(out.Shares)
	return out, nil
}

// dust is the size below which a weight counts as zero.
const dust = 1e-6

func (o Order) sides() ([]side, error) {
	names := assetNames(o.Names)
	f := &feasible{n: len(o.Weights), names: names}
	if f.n == 0 {
		return nil, invalid("weights", "there are none")
	}
	if err := values("weights", o.Weights, f); err != nil {
		return nil, err
	}
	if err := values("prices", o.Prices, f); err != nil {
		return nil, err
	}
	if !(o.Money > 0) || math.IsInf(o.Money, 0) {
		return nil, invalid("money", "%v is not above zero", o.Money)
	}
	if !(o.Short >= 0) || math.IsInf(o.Short, 0) {
		return nil, invalid("short", "%v is below zero", o.Short)
	}
	long, short := side{money: o.Money}, side{}
	up, down := 0.0, 0.0
	for i, w := range o.Weights {
		if p := o.Prices[i]; p <= 0 {
			return nil, &InvalidError{Field: "prices", Asset: i, Name: names.of(i),
				Detail: fmt.Sprintf("%v is not above zero", p)}
		}
		if w >= dust {
			long.add(i, w, o.Prices[i])
			up += w
		}
		if w <= -dust {
			short.add(i, -w, o.Prices[i])
			down -= w
		}
	}
	if down == 0 {
		if up > 1+1e-6 {
			return nil, invalid("weights", "they sum to %.9g, more than one", up)
		}
		if up > 1 {
			long.rescale(up)
		}
		return []side{long}, nil
	}
	switch {
	case o.Short == 0:
		long.money, short.money = o.Money*up, o.Money*down
	case o.Reinvest:
		long.money, short.money = o.Money*(1+o.Short), o.Money*o.Short
	default:
		short.money = o.Money * o.Short
	}
	long.rescale(up)
	short.rescale(down)
	return []side{long, short}, nil
}

func (s *side) add(asset int, weight, price float64) {
	s.assets, s.weights, s.prices = append(s.assets, asset), append(s.weights, weight), append(s.prices, price)
}

func (s *side) rescale(sum float64) {
	for i := range s.weights {
		s.weights[i] /= sum
	}
}

// spent returns the price of the shares.
func (s *side) spent(shares []int64) float64 {
	sum := 0.0
	for i, n := range shares {
		sum += float64(n) * s.prices[i]
	}
	return sum
}

// left returns the unspent money, at least 0 in spite of rounding.
func (s *side) left(shares []int64) float64 { return math.Max(0, s.money-s.spent(shares)) }

// floors returns the whole shares that each weight can pay for.
func (s *side) floors() []int64 {
	shares := make([]int64, len(s.assets))
	left := s.money
	for i, w := range s.weights {
		n := math.Floor(w * s.money / s.prices[i])
		if n*s.prices[i] > left {
			n = math.Floor(left / s.prices[i])
		}
		shares[i] = int64(math.Max(0, n))
		left -= float64(shares[i]) * s.prices[i]
	}
	return shares
}

func (s side) greedy() []int64 {
	order := make([]int, len(s.assets))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(s.weights[b], s.weights[a]) })
	shares := s.floors()
	left := s.money - s.spent(shares)
	for {
		spent := s.spent(shares)
		best, most := -1, 0.0
		for _, i := range order {
			short := s.weights[i]
			if spent > 0 {
				short -= float64(shares[i]) * s.prices[i] / spent
			}
			if short > most && s.prices[i] <= left {
				best, most = i, short
			}
		}
		if best < 0 {
			return shares
		}
		shares[best]++
		if left = s.money - s.spent(shares); left < 0 { // by rounding
			shares[best]--
			return shares
		}
	}
}

func (o Order) rmse(shares []int64) float64 {
	total, sold := 0.0, false
	for i, n := range shares {
		total += float64(n) * o.Prices[i]
		sold = sold || o.Weights[i] <= -dust
	}
	if sold && o.Short == 0 {
		total = o.Money
	}
	sum := 0.0
	for i, n := range shares {
		w := 0.0
		if n != 0 && total != 0 {
			w = float64(n) * o.Prices[i] / total
		}
		sum += (o.Weights[i] - w) * (o.Weights[i] - w)
	}
	return math.Sqrt(sum / float64(len(shares)))
}
