package marketdata

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"stega/api"
	"stega/civil"
	"stega/fault"
	"stega/store"
)

// row is a row of the table prices: one year of a symbol.
type row struct {
	bun.BaseModel `bun:"table:prices"`

	Symbol   string `bun:",pk"`
	Year     int    `bun:",pk"`
	FirstDay civil.Date
	LastDay  civil.Date
	Bars     int
	Data     []byte
}

// The advisory locks of PostgreSQL: pricesLock for units of work that read prices to write or publish them,
// schedulesLock for those that create schedules.
const (
	pricesLock    = 0x57e6a
	schedulesLock = 0x57e6c
)

// lockExclusive blocks other units of work with the lock until this one ends. Two that read the same year of a symbol
// at once would lose bars, and a replay could publish an old price after its correction. SQLite has one writer and
// needs no lock.
func lockExclusive(ctx context.Context, tx *store.Tx, of int) error {
	if tx.Dialect().Name() != dialect.PG {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", of)
	return err
}

// load reads the packed years of symbols, from one year to another.
func load(ctx context.Context, db bun.IDB, symbols []string, from, to int) (map[string]map[int]row, error) {
	var rows []row
	err := db.NewSelect().Model(&rows).Where("symbol IN (?)", bun.List(symbols)).
		Where("year BETWEEN ? AND ?", from, to).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("read prices: %w", err)
	}
	kept := make(map[string]map[int]row, len(symbols))
	for _, r := range rows {
		if kept[r.Symbol] == nil {
			kept[r.Symbol] = map[int]row{}
		}
		kept[r.Symbol][r.Year] = r
	}
	return kept, nil
}

var upsertYear = store.NewUpsert("prices", 2, "symbol", "year", "first_day", "last_day", "bars", "data")

func save(tx *store.Tx, rows []row) {
	for _, r := range rows {
		tx.Put(upsertYear, r.Symbol, r.Year, int32(r.FirstDay), int32(r.LastDay), r.Bars, r.Data)
	}
}

// checkQuota returns a fault when the new ones among symbols would exceed the quota.
func checkQuota(ctx context.Context, db bun.IDB, symbols []string, most int) error {
	var have int
	if err := db.NewRaw("SELECT count(DISTINCT symbol) FROM prices").Scan(ctx, &have); err != nil {
		return fmt.Errorf("count the symbols: %w", err)
	}
	if have+len(symbols) <= most {
		return nil
	}
	added := len(symbols)
	for some := range slices.Chunk(symbols, 1000) {
		var kept int
		err := db.NewRaw("SELECT count(DISTINCT symbol) FROM prices WHERE symbol IN (?)", bun.List(some)).
			Scan(ctx, &kept)
		if err != nil {
			return fmt.Errorf("count the symbols: %w", err)
		}
		added -= kept
	}
	if added == 0 || have+added <= most {
		return nil
	}
	return fault.Conflict(
		"symbols_too_many", "%d new symbols would make %d, and an installation keeps at most %d", added, have+added,
		most,
	).
		WithHint("import only the symbols that you need")
}

// known lists all symbols.
func known(ctx context.Context, db bun.IDB) ([]string, error) {
	var symbols []string
	err := db.NewSelect().Table("prices").ColumnExpr("DISTINCT symbol").OrderExpr("symbol").Scan(ctx, &symbols)
	if err != nil {
		return nil, fmt.Errorf("list symbols: %w", err)
	}
	return symbols, nil
}

// history reads the bars of a symbol in a window of days; nil leaves an end open.
func history(ctx context.Context, db bun.IDB, symbol string, from, to *civil.Date) ([]Bar, error) {
	var rows []row
	query := db.NewSelect().Model(&rows).Column("data").Where("symbol = ?", symbol).OrderExpr("year")
	if from != nil {
		query = query.Where("last_day >= ?", int32(*from))
	}
	if to != nil {
		query = query.Where("first_day <= ?", int32(*to))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, err
	}
	var bars []Bar
	for _, r := range rows {
		var err error
		if bars, err = unpack(bars, r.Data); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(bars, func(b Bar) bool {
		return from != nil && b.Day < *from || to != nil && b.Day > *to
	}), nil
}

// symbolQuery filters symbols; an empty field does not filter.
type symbolQuery struct {
	after    string // only symbols after this one
	only     string
	prefixes []string // prefixes of the symbol
	search   string   // text within the symbol
}

// summaries lists at most limit symbols, in order.
func summaries(ctx context.Context, db bun.IDB, limit int, filter symbolQuery) ([]api.Symbol, error) {
	var list []api.Symbol
	query := db.NewSelect().Table("prices").Column("symbol").ColumnExpr("min(first_day) AS first").
		ColumnExpr("max(last_day) AS last").
		ColumnExpr("sum(bars) AS count").GroupExpr("symbol").OrderExpr("symbol").Limit(int64(limit))
	if filter.after != "" {
		query = query.Where("symbol > ?", filter.after)
	}
	if filter.only != "" {
		query = query.Where("symbol = ?", filter.only)
	}
	for _, prefix := range filter.prefixes {
		if prefix != "" {
			query = query.Where("symbol >= ? AND symbol < ?", prefix, prefix+"\x7f")
		}
	}
	if filter.search != "" {
		// works on both databases and has no wildcards
		query = query.Where("replace(symbol, ?, '') <> symbol", filter.search)
	}
	if err := query.Scan(ctx, &list); err != nil {
		return nil, err
	}
	return list, nil
}
