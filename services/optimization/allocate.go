package optimization

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/govalues/decimal"
	"github.com/uptrace/bun"

	"stega/civil"
	"stega/fault"
	"stega/quant/optimize"
)

// AllocationRequest is the body of a request for the whole shares that an amount of money buys.
type AllocationRequest struct {
	Amount decimal.Decimal `json:"amount" jsonschema:"required"`
	Method string          `json:"method" jsonschema:"enum=greedy,enum=exact"` // greedy when it is left out
	// short sales, as a ratio of the amount, beside long positions for all of the amount; when it is left out, each
	// position is worth its weight of the amount
	ShortRatio *decimal.Decimal `json:"short_ratio"`
	Reinvest   bool             `json:"reinvest"` // the proceeds of short_ratio buy long positions
}

// Allocation is weights as whole shares. Prices and money are exact.
type Allocation struct {
	OptimizationID string           `json:"optimization_id"`
	Amount         decimal.Decimal  `json:"amount"`
	Method         string           `json:"method"`
	ShortRatio     *decimal.Decimal `json:"short_ratio,omitempty"`
	Reinvest       bool             `json:"reinvest,omitempty"`
	AsOf           civil.Date       `json:"as_of"` // the oldest of the prices
	Positions      []Position       `json:"positions"`
	Leftover       decimal.Decimal  `json:"leftover"` // of the long side, and of what may be sold short
	// the amount and the proceeds of short sales, less what was bought
	Cash  decimal.Decimal `json:"cash"`
	RMSE  *float64        `json:"rmse"`  // of the weights of the shares
	Exact bool            `json:"exact"` // whether no other shares are closer
}

// Position is the shares of one symbol; negative shares are sold short.
type Position struct {
	Symbol string          `json:"symbol"`
	Shares int64           `json:"shares"`
	Price  decimal.Decimal `json:"price"`
	Date   civil.Date      `json:"date"` // of the price
	Value  decimal.Decimal `json:"value"`
	Weight float64         `json:"weight"` // the weight to allocate
}

// The methods of an allocation.
const (
	greedy = "greedy"
	exact  = "exact"
)

// maxAmount bounds the amount, so that every sum is exact.
const maxAmount = 1_000_000_000_000

func (a *AllocationRequest) check() error {
	f := fault.Invalid("allocation_invalid", "the allocation is not valid")
	wrong := func(pointer, format string, args ...any) {
		_ = f.With(fault.Item{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
	if !a.Amount.IsPos() || a.Amount.Cmp(decimal.MustNew(maxAmount, 0)) > 0 {
		wrong("/amount", "must be an amount of money above zero, and at most %d", int64(maxAmount))
	}
	if a.Method == "" {
		a.Method = greedy
	}
	if a.Method != greedy && a.Method != exact {
		wrong("/method", "%.40q is neither greedy nor exact", a.Method)
	}
	if a.ShortRatio != nil && (!a.ShortRatio.IsPos() || a.ShortRatio.Cmp(decimal.Hundred) > 0) {
		wrong("/short_ratio", "must be above zero and at most 100; 0.3 sells 30 %% of the amount short")
	}
	if len(f.Errors) > 0 {
		f.Detail = strings.TrimPrefix(f.Errors[0].Pointer, "/") + " " + f.Errors[0].Detail
		return f
	}
	return nil
}

// allocate turns the weights of a result into shares at the last closes.
func allocate(ctx context.Context, db bun.IDB, id string, result *Result, a AllocationRequest) (*Allocation, error) {
	if len(result.Weights) == 0 {
		return nil, fault.Conflict("weights_missing", "optimization %s has no weights", id).
			WithHint("a frontier has many portfolios: choose one with efficient_return or efficient_risk")
	}
	symbols := result.Data.Symbols
	order := optimize.Order{
		Names:    symbols,
		Weights:  make([]float64, len(symbols)),
		Prices:   make([]float64, len(symbols)),
		Reinvest: a.Reinvest,
	}
	order.Money, _ = a.Amount.Float64()
	prices, err := pricesOf(ctx, db, symbols)
	if err != nil {
		return nil, err
	}
	for i, s := range symbols {
		order.Weights[i] = result.Weights[s]
		order.Prices[i], _ = prices[i].Price.Float64()
	}
	out := &Allocation{
		OptimizationID: id, Amount: a.Amount, Method: a.Method, Reinvest: a.Reinvest, Positions: []Position{},
	}
	if out.ShortRatio, err = shortRatio(order.Weights, a.ShortRatio); err != nil {
		return nil, err
	}
	if a.ShortRatio != nil {
		order.Short, _ = out.ShortRatio.Float64()
	} else if out.ShortRatio == nil && a.Reinvest {
		return nil, fault.Invalid("allocation_invalid", "reinvest has no effect: there are no short positions").
			With(fault.Item{Pointer: "/reinvest", Detail: "is for weights with short positions"})
	}
	var found *optimize.Allocation
	if a.Method == exact {
		found, err = optimize.AllocateExactly(ctx, order)
	} else {
		found, err = optimize.AllocateGreedily(order)
	}
	if err != nil {
		return nil, faultOf(err)
	}
	out.RMSE, out.Exact = finite(found.RMSE), found.Exact
	return out, out.fill(order, prices, found.Shares)
}

// pricesOf returns positions with prices and without shares.
func pricesOf(ctx context.Context, db bun.IDB, symbols []string) ([]Position, error) {
	last, err := closes(ctx, db, symbols)
	if err != nil {
		return nil, err
	}
	out := make([]Position, len(symbols))
	var missing []string
	for i, s := range symbols {
		at, ok := last[s]
		if !ok {
			missing = append(missing, s)
			continue
		}
		out[i] = Position{Symbol: s, Date: at.Day}
		if out[i].Price, err = price(s, at.Close); err != nil {
			return nil, err
		}
	}
	if len(missing) > 0 {
		return nil, fault.Conflict("prices_missing", "there are no prices yet of %s", brief(missing)).
			WithHint("import them with POST /v1/prices")
	}
	return out, nil
}

// shortRatio returns the short sales as a ratio of the amount, by default the sum of the negative weights; nil without
// short positions.
func shortRatio(weights []float64, requested *decimal.Decimal) (*decimal.Decimal, error) {
	sum := 0.0
	for _, w := range weights {
		if w <= -negligible {
			sum -= w
		}
	}
	switch {
	case sum == 0 && requested != nil:
		return nil, fault.Invalid("allocation_invalid", "short_ratio has no effect: there are no short positions").
			With(fault.Item{Pointer: "/short_ratio", Detail: "is for weights with short positions"})
	case sum == 0 || requested != nil:
		return requested, nil
	}
	ratio, err := decimal.NewFromFloat64(sum)
	if err != nil {
		return nil, fmt.Errorf("sum the short weights: %w", err)
	}
	ratio = ratio.Round(6)
	return &ratio, nil
}

// fill adds the positions and the money that is left.
func (a *Allocation) fill(order optimize.Order, prices []Position, shares []int64) error {
	left, err := a.budget(order)
	a.Cash = a.Amount
	if err != nil {
		return err
	}
	for i, n := range shares {
		p := prices[i]
		if i == 0 || p.Date < a.AsOf {
			a.AsOf = p.Date
		}
		if n == 0 {
			continue
		}
		p.Shares, p.Weight = n, order.Weights[i]
		count, err := decimal.New(n, 0)
		if err != nil {
			return fmt.Errorf("count the shares of %s: %w", p.Symbol, err)
		}
		if p.Value, err = p.Price.Mul(count); err != nil {
			return fmt.Errorf("value the shares of %s: %w", p.Symbol, err)
		}
		if left, err = left.Sub(p.Value.Abs()); err != nil {
			return fmt.Errorf("count the money: %w", err)
		}
		if a.Cash, err = a.Cash.Sub(p.Value); err != nil {
			return fmt.Errorf("count the cash: %w", err)
		}
		p.Value = p.Value.Trim(0)
		a.Positions = append(a.Positions, p)
	}
	a.Leftover, a.Cash = left.Trim(0), a.Cash.Trim(0)
	return nil
}

// budget returns the money for long positions and for short sales.
func (a *Allocation) budget(order optimize.Order) (decimal.Decimal, error) {
	if a.ShortRatio == nil {
		return a.Amount, nil
	}
	if order.Short == 0 { // the weights themselves
		gross := 0.0
		for _, w := range order.Weights {
			gross += math.Abs(w)
		}
		ratio, err := decimal.NewFromFloat64(gross)
		if err != nil {
			return ratio, fmt.Errorf("sum the weights: %w", err)
		}
		// Rounded up, so that what is left is not negative by rounding.
		total, err := a.Amount.Mul(ratio.Ceil(6))
		if err != nil {
			return total, fmt.Errorf("count the money: %w", err)
		}
		return total, nil
	}
	short, err := a.Amount.Mul(*a.ShortRatio)
	if err != nil {
		return short, fmt.Errorf("count the money: %w", err)
	}
	total, err := a.Amount.Add(short)
	if err == nil && a.Reinvest {
		total, err = total.Add(short)
	}
	if err != nil {
		return total, fmt.Errorf("count the money: %w", err)
	}
	return total, nil
}
