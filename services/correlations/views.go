package correlations

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"stega/civil"
	"stega/series"
)

// symbolRow is a row of the table symbols.
type symbolRow struct {
	bun.BaseModel `bun:"table:symbols"`

	Symbol   string `bun:",pk"`
	FirstDay civil.Date
	LastDay  civil.Date
	Days     int
	Stamps   []byte

	stamps []stamp // unpacked, ordered by year
}

// seriesRow is a row of the table series: one year of a symbol.
type seriesRow struct {
	bun.BaseModel `bun:"table:series,alias:series"`

	Symbol string `bun:",pk"`
	Year   int    `bun:",pk"`
	Data   []byte
}

// grow extends the range of days by points, of which more are new.
func (r *symbolRow) grow(points []series.Point, more int) {
	first, last := points[0].Day, points[len(points)-1].Day
	if r.Days == 0 || first < r.FirstDay {
		r.FirstDay = first
	}
	if r.Days == 0 || last > r.LastDay {
		r.LastDay = last
	}
	r.Days += more
}

// loadSymbols reads the rows of symbols. Rows of symbols that are replaced may be damaged.
func loadSymbols(
	ctx context.Context, db bun.IDB, symbols []string, replaced func(symbol string) bool,
) (map[string]*symbolRow, error) {
	var rows []symbolRow
	if err := db.NewSelect().Model(&rows).Where("symbol IN (?)", bun.List(symbols)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("read what there is of symbols: %w", err)
	}
	known := make(map[string]*symbolRow, len(rows))
	for i := range rows {
		var err error
		if rows[i].stamps, err = unpackStamps(rows[i].Stamps); err != nil && !replaced(rows[i].Symbol) {
			return nil, err
		}
		known[rows[i].Symbol] = &rows[i]
	}
	return known, nil
}
