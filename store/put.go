package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Upsert is how rows are written into a table: as new ones, or over those that have the same key.
type Upsert struct {
	into string // INSERT INTO table (columns) VALUES
	row  string // (?, ?)
	key  int
	over string // ON CONFLICT (key) DO UPDATE SET …
	rows int    // of one statement at most
}

// maxBound is how many values a statement may have: the least that the databases take is 32,766, and short statements
// are as quick.
const maxBound = 4096

// NewUpsert returns an upsert of columns, the first so many of which are the key, that overwrites the others.
func NewUpsert(table string, key int, columns ...string) *Upsert {
	set := make([]string, 0, len(columns)-key)
	for _, c := range columns[key:] {
		set = append(set, c+" = excluded."+c)
	}
	return &Upsert{
		into: "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES ",
		row:  "(" + strings.Repeat("?, ", len(columns)-1) + "?)",
		key:  key,
		over: " ON CONFLICT (" + strings.Join(columns[:key], ", ") + ") DO UPDATE SET " + strings.Join(set, ", "),
		rows: maxBound / len(columns),
	}
}

// Setting returns the same upsert with another SET clause, in which excluded is the row to be written. A WHERE may
// follow.
func (u *Upsert) Setting(set string) *Upsert {
	other := *u
	before, _, _ := strings.Cut(u.over, " SET ")
	other.over = before + " SET " + set
	return &other
}

// rows are the rows that Put holds of one table.
type rows struct {
	of     *Upsert
	values [][]any
}

// Put writes a row, together with others of the same upsert: right after what Queue holds. Rows of one upsert keep
// their order, even when they have the same key; between different ones there is none.
func (t *Tx) Put(u *Upsert, values ...any) {
	for _, r := range t.session.rows {
		if r.of == u {
			r.values = append(r.values, values)
			return
		}
	}
	t.session.rows = append(t.session.rows, &rows{of: u, values: [][]any{values}})
}

// put sends the rows that Put holds, or adds them to what Queue holds.
func (s *session) put(ctx context.Context) error {
	held := s.rows
	s.rows = nil
	for _, r := range held {
		for len(r.values) > 0 {
			n := min(len(r.values), r.of.rows)
			if !s.steady {
				n = r.of.distinct(r.values[:n])
			}
			query := r.of.into + strings.Repeat(r.of.row+", ", n-1) + r.of.row + r.of.over
			if err := s.bound(ctx, query, slices.Concat(r.values[:n]...)); err != nil {
				return err
			}
			r.values = r.values[n:]
		}
	}
	return s.failed
}

// distinct is how many of the first rows have keys of their own: PostgreSQL does not write a row twice in one
// statement.
func (u *Upsert) distinct(values [][]any) int {
	seen := make(map[string]bool, len(values))
	for i, v := range values {
		key := fmt.Sprintf("%q", v[:u.key])
		if seen[key] {
			return i
		}
		seen[key] = true
	}
	return len(values)
}

// bound sends a statement without a result. PostgreSQL gets it with others in one round trip, as text. SQLite runs in
// the process, so there is no round trip to save: it gets each statement alone with its values bound, because parsing
// a blob literal is ten times slower than binding the blob.
func (s *session) bound(ctx context.Context, query string, args []any) error {
	if !s.steady {
		s.queue(s.format(query, args))
		return nil
	}
	if err := s.text(ctx); err != nil {
		return err
	}
	_, err := s.send(ctx, query, args...)
	return err
}
