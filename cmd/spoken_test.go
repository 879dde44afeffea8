package cmd

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/fault"
)

// Every hint of the services that names a request names a command on the command line.
func TestHintsNameCommandsAndNoRequests(t *testing.T) {
	t.Parallel()
	checked, request := 0, regexp.MustCompile(`(GET|POST|PUT|DELETE) /v1/`)
	for _, root := range []string{"../services", "../rest", "../process", "../bus"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) == 0 {
					return true
				}
				method, isMethod := call.Fun.(*ast.SelectorExpr)
				text, isText := call.Args[0].(*ast.BasicLit)
				if !isMethod || method.Sel.Name != "WithHint" || !isText {
					return true
				}
				hint, err := strconv.Unquote(text.Value)
				require.NoError(t, err)
				// of a path that was typed
				if request.MatchString(hint) && !strings.Contains(hint, "/v1/openapi.json") {
					checked++
					assert.NotContains(t, spoken(newRoot(), hint), "/v1/", "%s: %s", path, hint)
				}
				return true
			})
			return nil
		}))
	}
	assert.Greater(t, checked, 10)
}

func TestFaultsOfTheServerNameFlags(t *testing.T) {
	t.Parallel()
	command := func(path ...string) (found func(fault.Fault) *fault.Fault) {
		c, _, err := newRoot().Find(path)
		require.NoError(t, err)
		return func(f fault.Fault) *fault.Fault { return fault.Of(spokenFault(c, &f)) }
	}
	returns, allocate, optimize := command("returns"), command("allocate"), command("optimize")
	assert.Equal(t, "--from x is not a day", returns(fault.Fault{Detail: "from=x is not a day"}).Detail)
	assert.Equal(t, "--rolling vol is not known", returns(fault.Fault{Detail: "metric=vol is not known"}).Detail)
	assert.Equal(t, "give --benchmark SYMBOL", returns(fault.Fault{Hint: "give benchmark=SYMBOL"}).Hint)
	assert.Equal(t, "--amount cannot be 1", allocate(fault.Fault{Detail: "/amount cannot be 1"}).Detail)
	assert.Equal(t, "--rolling is one of a, b", returns(fault.Fault{Hint: "metric is one of a, b"}).Hint)
	item := fault.Item{Pointer: "/asset_bounds/AAPL", Detail: "is empty"}
	assert.Equal(
		t, []fault.Item{{Pointer: "--bound", Detail: "is empty"}},
		optimize(fault.Fault{Errors: []fault.Item{item}}).Errors,
	)
	assert.Equal(t, "x=1 is no flag", returns(fault.Fault{Detail: "x=1 is no flag"}).Detail)
}
