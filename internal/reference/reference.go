// Package reference provides reference values of other programs for tests; testdata/README.md names their sources.
package reference

import (
	"embed"
	"testing"
)

//go:embed testdata/*.csv
var files embed.FS

// Read returns the content of a file of the reference data.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := files.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
