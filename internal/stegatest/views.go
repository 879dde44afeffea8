package stegatest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"stega/internal/servers"
	"stega/store"
)

// view is a table and its compared columns.
type view struct{ table, columns, order string }

// Views returns all read views of the returns service as text, byte for byte, in the order of their keys.
func Views(t testing.TB, database string) string {
	t.Helper()
	return views(t, "returns", database, []view{
		{"series", "symbol, year, first_day, last_day, days, format, data", "symbol, year"},
		{"closes", "symbol, day, close", "symbol"},
		{"portfolios", "id, version, assets", "id"},
		{"holdings", "symbol, portfolio_id", "symbol, portfolio_id"},
	})
}

// CorrelationsViews returns the same of the correlations service.
func CorrelationsViews(t testing.TB, database string) string {
	t.Helper()
	return views(t, "correlations", database, []view{
		{"symbols", "symbol, first_day, last_day, days, stamps", "symbol"},
		{"series", "symbol, year, data", "symbol, year"},
		{"portfolios", "id, version, assets", "id"},
	})
}

// OptimizationViews returns the same of the optimization service; optimizations are not a view.
func OptimizationViews(t testing.TB, database string) string {
	t.Helper()
	return views(t, "optimization", database, []view{
		{"series", "symbol, year, data", "symbol, year"},
		{"closes", "symbol, day, close", "symbol"},
		{"portfolios", "id, version, assets", "id"},
		{"holdings", "symbol, portfolio_id", "symbol, portfolio_id"},
	})
}

func views(t testing.TB, service, database string, tables []view) string {
	t.Helper()
	db, err := store.Open(t.Context(), service, servers.Database(t, service, database))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var all strings.Builder
	for _, v := range tables {
		rows, err := db.Read().QueryContext(t.Context(),
			fmt.Sprintf("SELECT %s FROM %s ORDER BY %s", v.columns, v.table, v.order))
		require.NoError(t, err)
		columns := strings.Count(v.columns, ",") + 1
		for rows.Next() {
			values, into := make([]any, columns), make([]any, columns)
			for i := range values {
				into[i] = &values[i]
			}
			require.NoError(t, rows.Scan(into...))
			all.WriteString(v.table)
			for _, value := range values {
				if text, ok := value.(string); ok {
					value = []byte(text)
				}
				if b, ok := value.([]byte); ok {
					_, _ = fmt.Fprintf(&all, " %x", b)
				} else {
					_, _ = fmt.Fprintf(&all, " %v", value)
				}
			}
			all.WriteString("\n")
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
	return all.String()
}

// Rebuilt requires that the rebuilt read views are byte for byte the same.
func (s *Server) Rebuilt(database string) {
	s.t.Helper()
	before := Views(s.t, database)
	require.Nil(s.t, s.Write(http.MethodPost, "/v1/rebuild/returns", "").Error)
	s.Eventually("the views are the same", func() bool { return Views(s.t, database) == before })
}
