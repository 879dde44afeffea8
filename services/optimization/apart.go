package optimization

import (
	"context"

	"stega/store"
)

// apart holds units of work of other lanes and jobs apart from this one, where each would read what the other writes:
// one with returns reads which optimizations follow its symbols, one with portfolios or answers writes that, and
// reads what has moved.
type apart struct{ returns, followed []string }

// apartOf returns what a unit of work holds apart, from when its handlers have run until it ends.
func apartOf(tx *store.Tx) *apart {
	a, _ := store.Shared(tx, "apart", func() (*apart, error) {
		a := &apart{}
		tx.Once("apart", func(_ context.Context, tx *store.Tx) error {
			tx.Lock(a.returns, a.followed)
			return nil
		})
		return a, nil
	})
	return a
}

// moved notes a symbol whose returns this unit of work changed.
func (a *apart) moved(symbol string) { a.returns = append(a.returns, symbol) }

// held notes a symbol or portfolio whose followers this unit of work changes or looks for.
func (a *apart) held(name string) { a.followed = append(a.followed, name) }
