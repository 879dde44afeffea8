package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"stega/store/storetest"
)

func TestMain(m *testing.M) {
	if storetest.Child() {
		return
	}
	os.Exit(m.Run())
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, storetest.Harness{URL: func(t testing.TB) string {
		return "sqlite://" + filepath.Join(t.TempDir(), "tester.db")
	}})
}
