package process

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/fault"
)

func TestTheSuiteNamesEachServiceOnceInOrder(t *testing.T) {
	t.Parallel()
	assert.True(t, slices.IsSorted(Names()))
	for _, m := range suite() {
		assert.Equal(t, m.name, m.build(nil, Options{}).Name())
	}
}

func TestAProcessRefusesAServiceThatTheSuiteDoesNotHave(t *testing.T) {
	t.Parallel()
	err := Run(context.Background(), Config{
		Services: []string{"return"}, Roles: []Role{API}, Addr: "127.0.0.1:0",
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}, func(string) { assert.Fail(t, "the process began") })
	var f *fault.Fault
	require.ErrorAs(t, err, &f)
	assert.Equal(t, "service_unknown", f.Code)
	_, err = Select([]string{"returns", "return"})
	require.ErrorAs(t, err, &f)
	assert.Equal(t, "service_unknown", f.Code)
}
