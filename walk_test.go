package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// maxSteps is how many steps a stranger needs at most to follow a write to its row, and an event to a view.
const maxSteps = 9

// Each function that the walk through the code in ARCHITECTURE.md names is in its file.
func TestTheWalkThroughTheCodeExists(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("ARCHITECTURE.md")
	require.NoError(t, err)
	step := regexp.MustCompile("(?m)^(\\d)\\. `([a-z/_]+\\.go)`, `(?:(\\w+)\\.)?(\\w+)`: ")
	walks := 0
	for _, m := range step.FindAllStringSubmatch(string(text), -1) {
		if m[1] == "1" {
			walks++
		}
		assert.LessOrEqual(t, m[1], string(rune('0'+maxSteps)))
		parsed, err := parser.ParseFile(token.NewFileSet(), m[2], nil, 0)
		if assert.NoError(t, err) {
			assert.True(t, declares(parsed, m[3], m[4]), "%s has no function %s of %q", m[2], m[4], m[3])
		}
	}
	assert.Equal(t, 2, walks)
}

// declares reports whether a file has a function, or a method of a type.
func declares(file *ast.File, receiver, name string) bool {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != name {
			continue
		}
		of := ""
		if f.Recv != nil {
			t := f.Recv.List[0].Type
			if star, ok := t.(*ast.StarExpr); ok {
				t = star.X
			}
			if id, ok := t.(*ast.Ident); ok {
				of = id.Name
			}
		}
		if of == receiver {
			return true
		}
	}
	return false
}
