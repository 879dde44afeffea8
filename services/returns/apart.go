package returns

import (
	"context"

	"stega/store"
)

// apart holds units of work of other lanes apart from this one, where each would read what the other writes: a unit
// with prices reads who holds its symbols, one with portfolios reads which of their symbols have prices, and both
// announce the portfolios. First come the locks of the symbols, then those of the portfolios, each taken at once.
type apart struct {
	prices, holdings []string // symbols
	portfolios       []string // that are announced
	locked           bool     // these are
}

// apartOf returns what a unit of work holds apart. The locks of the symbols are taken when its handlers have run,
// before anything is announced.
func apartOf(tx *store.Tx) *apart {
	a, _ := store.Shared(tx, "apart", func() (*apart, error) {
		a := &apart{}
		tx.Once("apart", func(_ context.Context, tx *store.Tx) error {
			tx.Lock(a.prices, a.holdings)
			return nil
		})
		return a, nil
	})
	return a
}

// priced notes a symbol whose prices this unit of work changed.
func (a *apart) priced(symbol string) { a.prices = append(a.prices, symbol) }

// held notes a symbol of a portfolio that this unit of work changed.
func (a *apart) held(symbol string) { a.holdings = append(a.holdings, symbol) }

// announces notes a portfolio that is to be announced.
func (a *apart) announces(id string) { a.portfolios = append(a.portfolios, "portfolio "+id) }

// lockPortfolios takes the locks of all portfolios that are announced. By the time of the first announcement they are
// all known.
func (a *apart) lockPortfolios(tx *store.Tx) {
	if !a.locked {
		a.locked = true
		tx.Lock(nil, a.portfolios)
	}
}
