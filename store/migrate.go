package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
)

//go:embed migrations
var own embed.FS

// migration is one file of SQL.
type migration struct {
	name string
	sql  string
}

// migrations returns the package's own, for both kinds of database and for this one, and then the service's.
func (d *DB) migrations(service fs.FS) ([]migration, error) {
	kind := "sqlite"
	if d.Read().Dialect().Name() == dialect.PG {
		kind = "postgres"
	}
	all, err := migrationsOf("store", own, "migrations/*.up.sql", "migrations/"+kind+"/*.up.sql")
	if err != nil || service == nil {
		return all, err
	}
	of, err := migrationsOf(d.service, service, "*.up.sql", kind+"/*.up.sql")
	return append(all, of...), err
}

// migrationsOf reads the files that match one of some patterns, in the order of their base names.
func migrationsOf(prefix string, files fs.FS, patterns ...string) (all []migration, err error) {
	for _, pattern := range patterns {
		names, err := fs.Glob(files, pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			text, err := fs.ReadFile(files, name)
			if err != nil {
				return nil, fmt.Errorf("read migration %s: %w", name, err)
			}
			all = append(all,
				migration{path.Join(prefix, strings.TrimSuffix(path.Base(name), ".up.sql")), string(text)})
		}
	}
	slices.SortFunc(all, func(a, b migration) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// Migrate brings the schema up to date, in one transaction: all of it, or nothing. files are the *.up.sql of the
// service and of its folder sqlite or postgres, applied in the order of their names, each once; nil for none. Of
// several processes that migrate at once, one does.
func (d *DB) Migrate(ctx context.Context, files fs.FS) error {
	all, err := d.migrations(files)
	if err != nil {
		return err
	}
	pending, err := d.Pending(ctx, files)
	if err != nil || len(pending) == 0 {
		return err
	}
	d.migrating.Add(1)
	defer d.migrating.Add(-1)
	err = d.Do(ctx, func(ctx context.Context, tx *Tx) error {
		if tx.Dialect().Name() == dialect.PG {
			if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext('stega migrations'))"); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx,
			"CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY, applied_at BIGINT NOT NULL)")
		if err != nil {
			return err
		}
		applied := map[string]bool{}
		var names []string
		if err := tx.NewSelect().Table("schema_migrations").Column("name").Scan(ctx, &names); err != nil {
			return err
		}
		for _, name := range names {
			applied[name] = true
		}
		for _, m := range all {
			if applied[m.name] {
				continue
			}
			if _, err := tx.session.ExecContext(ctx, m.sql); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO schema_migrations VALUES (?, ?)", m.name,
				tx.Now().UnixMicro()); err != nil {
				return err
			}
		}
		return collate(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("migrate the database of %s: %w", d.service, err)
	}
	return nil
}

// Pending lists the migrations that Migrate would apply.
func (d *DB) Pending(ctx context.Context, files fs.FS) ([]string, error) {
	all, err := d.migrations(files)
	if err != nil {
		return nil, err
	}
	exists := "SELECT count(*) FROM sqlite_master WHERE name = 'schema_migrations'"
	if d.Read().Dialect().Name() == dialect.PG {
		exists = "SELECT count(*) FROM pg_tables WHERE tablename = 'schema_migrations' AND schemaname = " +
			"current_schema()"
	}
	var tables int
	if err := d.Read().NewRaw(exists).Scan(ctx, &tables); err != nil {
		return nil, d.explain(ctx, err)
	}
	var applied []string
	if tables > 0 {
		if err := d.Read().NewSelect().Table("schema_migrations").Column("name").Scan(ctx, &applied); err != nil {
			return nil, d.explain(ctx, err)
		}
	}
	var pending []string
	for _, m := range all {
		if !slices.Contains(applied, m.name) {
			pending = append(pending, m.name)
		}
	}
	columns, err := uncollated(ctx, d.Read())
	if err != nil {
		return nil, d.explain(ctx, err)
	}
	if len(columns) > 0 {
		pending = append(pending, collationStep)
	}
	return pending, nil
}

// collationStep is the name of the migration that collate applies.
const collationStep = "store/collation"

// column is a text column of a table.
type column struct{ Table, Name string }

// uncollated lists the text columns of a PostgreSQL database that do not sort by bytes. SQLite sorts every text by
// bytes.
func uncollated(ctx context.Context, db bun.IDB) (columns []column, err error) {
	if db.Dialect().Name() != dialect.PG {
		return nil, nil
	}
	err = db.NewRaw(`SELECT c.relname AS "table", a.attname AS name
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
		AND a.attnum > 0 AND NOT a.attisdropped
		AND a.atttypid = 'text'::regtype AND a.attcollation <> '"C"'::regcollation
		ORDER BY c.relname, a.attnum`).Scan(ctx, &columns)
	if err != nil {
		return nil, fmt.Errorf("read the collations: %w", err)
	}
	return columns, nil
}

// collate makes every text column of a PostgreSQL database sort and compare by bytes, as SQLite and Go do. The
// collation of the database, which an administrator chooses, would order symbols, ids and cursors by the rules of a
// language: ranges would lack rows, and merged lists would be in no order.
func collate(ctx context.Context, tx *Tx) error {
	columns, err := uncollated(ctx, tx)
	if err != nil {
		return err
	}
	for len(columns) > 0 {
		table := columns[0].Table
		var changes []string
		for len(columns) > 0 && columns[0].Table == table {
			changes = append(changes, fmt.Sprintf(`ALTER COLUMN %q TYPE TEXT COLLATE "C"`, columns[0].Name))
			columns = columns[1:]
		}
		if _, err := tx.session.ExecContext(ctx, fmt.Sprintf("ALTER TABLE %q %s", table,
			strings.Join(changes, ", "))); err != nil {
			return fmt.Errorf("%s of %s: %w", collationStep, table, err)
		}
	}
	return nil
}
