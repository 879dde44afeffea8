package store_test

import (
	"path/filepath"
	"testing"

	"stega/internal/servers"
	"stega/store/storetest"
)

func TestMain(m *testing.M) {
	if storetest.Child() {
		return
	}
	servers.Main(m)
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, storetest.Harness{URL: func(t testing.TB) string {
		return "sqlite://" + filepath.Join(t.TempDir(), "tester.db")
	}})
}

func TestPostgreSQL(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		URL:      func(t testing.TB) string { return servers.Postgres(t).URL() },
		Restart:  func(t testing.TB) { servers.Postgres(t).Restart(t) },
		ReadOnly: servers.PostgresReadOnly,
	})
}
