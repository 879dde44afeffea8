package fault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/fault"
)

func TestEveryKindHasItsRow(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "fault.go", nil, 0)
	require.NoError(t, err)
	var declared []fault.Kind
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Names) == 1 && strings.HasPrefix(spec.Names[0].Name, "Kind") {
			s, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			declared = append(declared, fault.Kind(s))
		}
		return true
	})
	assert.ElementsMatch(t, declared, fault.Kinds())
	for _, k := range fault.Kinds() {
		assert.GreaterOrEqual(t, k.Status(), 400, k)
		assert.GreaterOrEqual(t, k.Exit(), 64, k)
		assert.LessOrEqual(t, k.Exit(), 78, k)
	}
}

func TestOfFindsAWrappedFault(t *testing.T) {
	cause := errors.New("the reason")
	f := fault.NotFound("portfolio_unknown", "portfolio %s does not exist", "x").WithHint("list them").Because(cause)
	err := fmt.Errorf("read: %w", f)
	assert.Same(t, f, fault.Of(err))
	require.ErrorIs(t, err, cause)
	assert.Equal(t, "read: portfolio x does not exist: the reason", err.Error())
	assert.True(t, f.Kind.Permanent())

	inside := fault.Of(cause)
	assert.Equal(t, fault.KindInternal, inside.Kind)
	assert.False(t, inside.Kind.Permanent())
	b, err := json.Marshal(inside)
	require.NoError(t, err)
	assert.NotContains(t, string(b), "the reason", "what is inside stays inside")
	assert.Nil(t, fault.Of(nil))
}
