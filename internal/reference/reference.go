// Package reference gives tests the reference data, which are beside the project and not in it. Without them a test is skipped,
// which the output says; with CI=true it fails instead.
package reference

import (
	"os"
	"path/filepath"
	"testing"
)

// Path is where a file of the reference data is.
func Path(t testing.TB, name string) string {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		above := filepath.Dir(root)
		if above == root {
			t.Fatal("the test does not run inside the project")
		}
		root = above
	}
	path := filepath.Join(filepath.Dir(root), "shared", "data", name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the reference data are not there, and CI=true does not allow to skip: %v", err)
		}
		t.Skipf("NO REFERENCE DATA: this test needs %s beside the project", filepath.Join("..", "shared", "data", name))
	}
	return path
}

// Read is the content of a file of the reference data.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(Path(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
