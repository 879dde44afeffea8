package marketdata

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

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

// turns is the advisory lock of those that read prices in order to write or tell them, and turnsOfSchedules of those
// that make schedules.
const (
	turns            = 0x57e6a
	turnsOfSchedules = 0x57e6c
)

// takeTurns holds up other imports and replays until the unit of work ends: two that read the same year of a symbol
// at once would lose the bars of one, and a replay could tell an old price after its correction. SQLite has one
// writer anyway.
func takeTurns(ctx context.Context, tx *store.Tx, of int) error {
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

var keepYear = store.NewUpsert("prices", 2, "symbol", "year", "first_day", "last_day", "bars", "data")

func save(tx *store.Tx, rows []row) {
	for _, r := range rows {
		tx.Put(keepYear, r.Symbol, r.Year, int32(r.FirstDay), int32(r.LastDay), r.Bars, r.Data)
	}
}

// checkQuota refuses symbols when those among them that are new would exceed the quota.
func checkQuota(ctx context.Context, db bun.IDB, symbols []string, most int) error {
	var have int
	if err := db.NewRaw("SELECT count(DISTINCT symbol) FROM prices").Scan(ctx, &have); err != nil {
		return fmt.Errorf("count the symbols: %w", err)
	}
	if have+len(symbols) <= most {
		return nil
	}
	fresh := len(symbols)
	for some := range slices.Chunk(symbols, 1000) {
		var kept int
		err := db.NewRaw("SELECT count(DISTINCT symbol) FROM prices WHERE symbol IN (?)", bun.List(some)).Scan(ctx, &kept)
		if err != nil {
			return fmt.Errorf("count the symbols: %w", err)
		}
		fresh -= kept
	}
	if fresh == 0 || have+fresh <= most {
		return nil
	}
	return fault.Conflict("symbols_too_many", "%d new symbols would make %d, and an installation keeps at most %d", fresh, have+fresh, most).
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

// history reads the bars of a symbol in a window of days; nil is open.
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
	return slices.DeleteFunc(bars, func(b Bar) bool { return from != nil && b.Day < *from || to != nil && b.Day > *to }), nil
}

// Summary is what is known of a symbol.
type Summary struct {
	Symbol string     `json:"symbol"`
	First  civil.Date `json:"first"`
	Last   civil.Date `json:"last"`
	Count  int        `json:"count"` // days with a price
}

// symbolQuery says which symbols are asked for; what is empty asks for nothing.
type symbolQuery struct {
	after    string // those after this one
	only     string
	prefixes []string // how they begin
	search   string   // what is in them
}

// summaries lists symbols, in their order.
func summaries(ctx context.Context, db bun.IDB, limit int, asked symbolQuery) ([]Summary, error) {
	var list []Summary
	query := db.NewSelect().Table("prices").Column("symbol").ColumnExpr("min(first_day) AS first").ColumnExpr("max(last_day) AS last").
		ColumnExpr("sum(bars) AS count").GroupExpr("symbol").OrderExpr("symbol").Limit(int64(limit))
	if asked.after != "" {
		query = query.Where("symbol > ?", asked.after)
	}
	if asked.only != "" {
		query = query.Where("symbol = ?", asked.only)
	}
	for _, prefix := range asked.prefixes {
		if prefix != "" {
			query = query.Where("symbol >= ? AND symbol < ?", prefix, prefix+"\x7f")
		}
	}
	if asked.search != "" {
		query = query.Where("replace(symbol, ?, '') <> symbol", asked.search) // which both databases know, and which has no wildcards
	}
	if err := query.Scan(ctx, &list); err != nil {
		return nil, err
	}
	return list, nil
}
