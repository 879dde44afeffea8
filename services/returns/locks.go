package returns

import (
	"context"

	"stega/store"
)

// locks collects the locks of a unit of work, which serialise it with units of other lanes that read its writes. A
// unit with prices reads the portfolios that hold its symbols; a unit with portfolios reads which of their symbols have
// prices; both publish the portfolios. The locks of symbols come first, then those of portfolios, each set at once.
type locks struct {
	prices, holdings []string // symbols
	portfolios       []string // portfolios to publish
	locked           bool     // whether the portfolios are locked
}

// locksOf returns the locks of a unit of work. Those of symbols are acquired when the unit's handlers have run, before
// any portfolio is published.
func locksOf(tx *store.Tx) *locks {
	l, _ := store.Shared(tx, "locks", func() (*locks, error) {
		l := &locks{}
		tx.Once("locks", func(_ context.Context, tx *store.Tx) error {
			tx.Lock(l.prices, l.holdings)
			return nil
		})
		return l, nil
	})
	return l
}

// addPrices adds a symbol whose prices this unit of work changed.
func (l *locks) addPrices(symbol string) { l.prices = append(l.prices, symbol) }

// addHolding adds a symbol of a portfolio that this unit of work changed.
func (l *locks) addHolding(symbol string) { l.holdings = append(l.holdings, symbol) }

// addPortfolio adds a portfolio that this unit of work will publish.
func (l *locks) addPortfolio(id string) { l.portfolios = append(l.portfolios, "portfolio "+id) }

// lockPortfolios acquires the locks of all portfolios that will be published. When the first one is published, all have
// been added.
func (l *locks) lockPortfolios(tx *store.Tx) {
	if !l.locked {
		l.locked = true
		tx.Lock(nil, l.portfolios)
	}
}
