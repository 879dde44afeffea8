package client_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAClientLinksNoSchemaAndNoYAMLLibrary(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	deps := strings.Fields(string(out))
	assert.Contains(t, deps, "stega/events")
	for _, dep := range deps {
		assert.NotRegexp(t, `schema|yaml|ordered-map|go/parser|sqlite|echo`, dep)
	}
}
