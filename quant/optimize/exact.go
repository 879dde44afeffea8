package optimize

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// AllocateExactly returns the whole shares x ≥ 0 that minimise Σ|wᵢ·money − xᵢ·pᵢ| + (money − Σxᵢ·pᵢ) without
// spending more than the money, separately for the long and the short side. It is the objective of lp_portfolio of
// PyPortfolioOpt. Errors: *InvalidError, and that of the context.
//
// The unspent money equals the shortfalls of positions less the excesses of others. So the objective is twice the sum
// of the shortfalls, and the choice of positions to round up is a knapsack, solved by branch and bound. Some hundred
// positions usually take milliseconds. After a few million branches the best allocation so far is returned, with
// Exact false.
func AllocateExactly(ctx context.Context, o Order) (*Allocation, error) {
	out, err := o.allocate(func(s side) ([]int64, bool) {
		k := newKnapsack(ctx, s)
		return k.solve(), !k.stopped
	})
	if err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

// knapsack decides which positions get one share more than their weight pays for. One more share of i costs price(i)
// and is worth short(i), the shortfall of the position. One share less of another brings its price, and costs as much
// worth.
type knapsack struct {
	ctx     context.Context // of the one call that it serves
	s       side
	floors  []int64
	order   []int // positions with a shortfall, by worth for the money
	short   []float64
	left    float64
	up      []bool
	best    float64
	shares  []int64
	visits  int
	stopped bool
}

// branches limits the search.
const branches = 4_000_000

func newKnapsack(ctx context.Context, s side) *knapsack {
	k := &knapsack{ctx: ctx, s: s, floors: s.floors(), short: make([]float64, len(s.assets)),
		up: make([]bool, len(s.assets))}
	k.left = s.money - s.spent(k.floors)
	for i, n := range k.floors {
		k.short[i] = math.Max(0, s.weights[i]*s.money-float64(n)*s.prices[i])
		if k.short[i] > 1e-12*s.money {
			k.order = append(k.order, i)
		}
	}
	slices.SortStableFunc(k.order, func(a, b int) int {
		return cmp.Compare(k.short[b]/s.prices[b], k.short[a]/s.prices[a])
	})
	return k
}

func (k *knapsack) solve() []int64 {
	k.shares = slices.Clone(k.floors)
	k.best = 0
	k.branch(0, 0, k.left)
	return k.shares
}

// margin is the least improvement that counts.
func (k *knapsack) margin() float64 { return 1e-12 * k.s.money }

// branch decides on the positions from at on. worth is the value so far; left is the money left, which may be
// negative.
func (k *knapsack) branch(at int, worth, left float64) {
	if k.visits++; k.visits > branches || k.visits%4096 == 0 && k.ctx.Err() != nil {
		k.stopped = true
	}
	if k.stopped || k.bound(at, worth, left) <= k.best+k.margin() {
		return
	}
	if left >= 0 && worth > k.best+k.margin() {
		k.keep(worth, nil)
	}
	if at == len(k.order) {
		if left < 0 {
			k.sell(worth, -left)
		}
		return
	}
	i := k.order[at]
	k.up[i] = true
	k.branch(at+1, worth+k.short[i], left-k.s.prices[i])
	k.up[i] = false
	k.branch(at+1, worth, left)
}

// bound returns an upper bound of the worth of any completion: the rest of the money buys the best of the rest, in
// parts too, and missing money is raised without loss.
func (k *knapsack) bound(at int, worth, left float64) float64 {
	if left < 0 {
		return worth + left
	}
	for _, i := range k.order[at:] {
		p := k.s.prices[i]
		if p >= left {
			return worth + k.short[i]/p*left
		}
		worth += k.short[i]
		left -= p
	}
	return worth
}

func (k *knapsack) keep(worth float64, sold map[int]int64) {
	shares := slices.Clone(k.floors)
	for i, up := range k.up {
		if up {
			shares[i]++
		}
	}
	for i, n := range sold {
		shares[i] -= n
	}
	if k.s.spent(shares) > k.s.money {
		return // by rounding
	}
	k.best, k.shares = worth, shares
}

// sell raises missing money from positions that were not rounded up, with the least excess.
func (k *knapsack) sell(worth, missing float64) {
	var from []int
	for i, n := range k.floors {
		if n > 0 && !k.up[i] {
			from = append(from, i)
		}
	}
	slices.SortFunc(from, func(a, b int) int { return cmp.Compare(k.s.prices[b], k.s.prices[a]) })
	sold := map[int]int64{}
	var try func(at int, missing, cost float64)
	try = func(at int, missing, cost float64) {
		if k.visits++; k.visits > branches || k.visits%4096 == 0 && k.ctx.Err() != nil {
			k.stopped = true
		}
		if k.stopped || worth-cost-math.Max(0, missing) <= k.best+k.margin() {
			return
		}
		if missing <= 0 {
			k.keep(worth-cost, sold)
			return
		}
		if at == len(from) {
			return
		}
		i := from[at]
		most := min(k.floors[i], int64(math.Ceil(missing/k.s.prices[i])))
		for n := most; n >= 0; n-- {
			sold[i] = n
			try(at+1, missing-float64(n)*k.s.prices[i], cost+float64(n)*k.s.prices[i])
		}
		delete(sold, i)
	}
	try(0, missing, 0)
}
