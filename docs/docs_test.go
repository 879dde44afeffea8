package docs_test

import (
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/internal/apidoc"
	"stega/process"
)

var update = flag.Bool("update", false, "write the generated documents")

// The committed documents are those that follow from the routes, the catalogue and the faults.
func TestDocumentsAreUpToDate(t *testing.T) {
	t.Parallel()
	openapi, err := apidoc.OpenAPI(process.HTTPRoutes(), "..", false)
	require.NoError(t, err)
	asyncapi, err := apidoc.AsyncAPI(events.Catalogue())
	require.NoError(t, err)
	errors, err := apidoc.Errors("..")
	require.NoError(t, err)
	for name, want := range map[string][]byte{
		"openapi.json":  openapi,
		"asyncapi.json": asyncapi,
		"errors.md":     []byte(errors),
	} {
		if *update {
			require.NoError(t, os.WriteFile(name, want, 0o644))
		}
		have, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(have), "docs/%s is not what the source says: run go test ./docs -update",
			name)
	}
}
