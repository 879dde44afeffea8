package portfolio

import (
	"context"
	"encoding/json"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"stega/events"
	"stega/fault"
	"stega/store"
	"stega/text"
)

// row is a row of the table portfolios.
type row struct {
	bun.BaseModel `bun:"table:portfolios"`

	ID        string `bun:",pk"`
	Name      string
	Folded    string // the case-folded name, which is unique
	Version   int64
	Assets    string // as JSON
	CreatedAt int64
	UpdatedAt int64
}

func toRow(p events.Portfolio) (*row, error) {
	assets, err := json.Marshal(p.Assets)
	return &row{
		ID: p.ID, Name: p.Name, Folded: text.Fold(p.Name), Version: p.Version, Assets: string(assets),
		CreatedAt: p.CreatedAt.UnixMicro(), UpdatedAt: p.UpdatedAt.UnixMicro(),
	}, err
}

func (r *row) portfolio() (events.Portfolio, error) {
	p := events.Portfolio{
		ID: r.ID, Name: r.Name, Version: r.Version, CreatedAt: time.UnixMicro(r.CreatedAt).UTC(),
		UpdatedAt: time.UnixMicro(r.UpdatedAt).UTC(),
	}
	return p, json.Unmarshal([]byte(r.Assets), &p.Assets)
}

// insert stores a new portfolio. It runs at once and is not queued, so that the handler can return name_taken.
func insert(ctx context.Context, tx *store.Tx, p events.Portfolio) error {
	r, err := toRow(p)
	if err != nil {
		return err
	}
	_, err = tx.NewInsert().Model(r).Exec(ctx)
	return refusal(err, p.Name)
}

// change overwrites a portfolio, at once like insert.
func change(ctx context.Context, tx *store.Tx, p events.Portfolio) error {
	r, err := toRow(p)
	if err != nil {
		return err
	}
	_, err = tx.NewUpdate().Model(r).WherePK().Exec(ctx)
	return refusal(err, p.Name)
}

func remove(tx *store.Tx, id string) {
	tx.Queue(tx.NewDelete().Table("portfolios").Where("id = ?", id))
}

// lock reads a portfolio and locks its row until the unit of work ends. SQLite has one writer and needs no lock.
func lock(ctx context.Context, tx *store.Tx, id string) (events.Portfolio, error) {
	var r row
	query := tx.NewSelect().Model(&r).Where("id = ?", id)
	if tx.Dialect().Name() == dialect.PG {
		query = query.For("UPDATE")
	}
	if err := query.Scan(ctx); err != nil {
		return events.Portfolio{}, err
	}
	return r.portfolio()
}

// list reads at most limit portfolios in the order of their ids, after the given one. A name that is not empty
// selects the portfolio of that name.
func list(ctx context.Context, db bun.IDB, limit int, after, name string) ([]events.Portfolio, error) {
	var rows []row
	query := db.NewSelect().Model(&rows).OrderExpr("id").Limit(int64(limit))
	if after != "" {
		query = query.Where("id > ?", after)
	}
	if name != "" {
		query = query.Where("folded = ?", text.Fold(name))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, err
	}
	portfolios := make([]events.Portfolio, len(rows))
	for i := range rows {
		var err error
		if portfolios[i], err = rows[i].portfolio(); err != nil {
			return nil, err
		}
	}
	return portfolios, nil
}

// refusal turns a unique-key conflict of the database into the fault name_taken, and returns other errors unchanged.
func refusal(err error, name string) error {
	if err != nil && store.Conflict(err) {
		return fault.Conflict("name_taken", "there is a portfolio named %q already", name).
			WithHint("choose another name; names that differ only in upper and lower case are the same")
	}
	return err
}
