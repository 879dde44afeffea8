package optimization

import (
	"context"

	"stega/store"
)

// locks collects the locks of a unit of work, which serialise it with units of other lanes and jobs that read its
// writes. A unit with returns reads which optimizations follow its symbols. A unit with portfolios or results writes
// that, and reads what has changed.
type locks struct{ returns, followed []string }

// locksOf returns the locks of a unit of work. They are acquired when its handlers have run, and held until it ends.
func locksOf(tx *store.Tx) *locks {
	l, _ := store.Shared(tx, "locks", func() (*locks, error) {
		l := &locks{}
		tx.Once("locks", func(_ context.Context, tx *store.Tx) error {
			tx.Lock(l.returns, l.followed)
			return nil
		})
		return l, nil
	})
	return l
}

// addReturns adds a symbol whose returns this unit of work changed.
func (l *locks) addReturns(symbol string) { l.returns = append(l.returns, symbol) }

// addFollowed adds a symbol or portfolio whose followers this unit of work changes or reads.
func (l *locks) addFollowed(name string) { l.followed = append(l.followed, name) }
