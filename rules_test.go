package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/bus"
	"stega/process"
)

// mayImport says which packages of the project a package may use; a name stands for what is below it too. Tests may use more.
var mayImport = map[string][]string{
	"civil":                     {},
	"fault":                     {},
	"quant":                     {},
	"text":                      {},
	"series":                    {"civil", "quant"},
	"events":                    {"civil"},
	"broker":                    {"civil", "events", "fault", "text"},
	"broker/rabbitmq":           {"broker", "civil", "events", "fault", "text"},
	"broker/embedded":           {"broker", "civil", "events", "fault", "text"},
	"store":                     {"broker", "civil", "events", "fault", "migrations", "text"},
	"bus":                       {"broker", "civil", "events", "fault", "migrations", "store", "text"},
	"migrations":                {},
	"rest":                      {"broker", "bus", "civil", "events", "fault", "migrations", "store", "text"},
	"services":                  {"broker", "bus", "civil", "events", "fault", "migrations", "quant", "rest", "series", "store", "text"},
	"services/boundary":         {"broker", "bus", "civil", "events", "fault", "migrations", "rest", "store", "services/boundary", "text"},
	"services/portfolio":        {"broker", "bus", "civil", "events", "fault", "migrations", "rest", "store", "text"},
	"services/boundary/access":  {"broker", "bus", "civil", "events", "fault", "migrations", "rest", "store", "text"},
	"services/boundary/gateway": {"broker", "bus", "civil", "events", "fault", "migrations", "rest", "store", "text"},
	"services/marketdata": {
		"broker", "bus", "civil", "events", "fault", "migrations", "quant", "rest", "store", "services/marketdata", "text",
	},
	"daemon":                {"civil", "client", "events", "fault", "text"},
	"client":                {"civil", "events", "fault", "text"},
	"internal/plot":         {"civil"},
	"services/correlations": {"broker", "bus", "civil", "events", "fault", "migrations", "quant", "rest", "series", "store", "text"},
	"services/optimization": {"broker", "bus", "civil", "events", "fault", "migrations", "quant", "rest", "series", "store", "text"},
	"services/returns":      {"broker", "bus", "civil", "events", "fault", "migrations", "quant", "rest", "series", "store", "text"},
}

// Imports point one way, and no service imports another.
func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	for pkg, allowed := range mayImport {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./"+pkg).Output()
		require.NoError(t, err, pkg)
		for dep := range strings.FieldsSeq(string(out)) {
			dep, own := strings.CutPrefix(dep, "stega/")
			if !own || dep == pkg {
				continue
			}
			ok := slices.ContainsFunc(allowed, func(a string) bool {
				return dep == a || strings.HasPrefix(dep, a+"/") && a != "broker"
			})
			assert.True(t, ok, "%s imports %s", pkg, dep)
		}
	}
}

// packages are the folders with Go files.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && name != "." && (strings.HasPrefix(name, ".") || name == "testdata") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			files[filepath.Dir(path)] = append(files[filepath.Dir(path)], path)
		}
		return nil
	}))
	return files
}

func TestEveryPackageHasExactlyOneComment(t *testing.T) {
	t.Parallel()
	for dir, files := range packages(t) {
		comments := 0
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
			require.NoError(t, err)
			if parsed.Doc != nil {
				comments++
				text := parsed.Doc.Text()
				assert.True(t, strings.HasPrefix(text, "Package ") || parsed.Name.Name == "main" && strings.HasPrefix(text, "Command stega "), "%s: %s", file, text)
			}
		}
		assert.Equal(t, 1, comments, "package comments in %s", dir)
	}
}

// The pieces of a program are wired by hand: nothing runs at import, but for the package that is there to come before all others.
func TestNoInitFunctions(t *testing.T) {
	t.Parallel()
	for dir, files := range packages(t) {
		if dir == "early" {
			continue
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			require.NoError(t, err)
			for _, d := range parsed.Decls {
				if f, ok := d.(*ast.FuncDecl); ok {
					assert.False(t, f.Recv == nil && f.Name.Name == "init", "%s has an init function", file)
				}
			}
		}
	}
}

// Every service of the suite has the same files, its migrations, its containers, and users of its own.
func TestServicesAreComplete(t *testing.T) {
	t.Parallel()
	compose, err := os.ReadFile("compose.yaml")
	require.NoError(t, err)
	sql, err := os.ReadFile("deploy/postgres.sql")
	require.NoError(t, err)
	routes, err := process.Routes()
	require.NoError(t, err)
	for _, name := range process.Names() {
		files := []string{"service.go", "handlers.go", "views.go", "api.go"}
		if slices.ContainsFunc(routes[name], func(r bus.Route) bool { return r.Command }) {
			files = append(files, "commands.go")
		}
		for _, file := range files {
			assert.FileExists(t, filepath.Join("services", name, file))
		}
		assert.DirExists(t, filepath.Join("migrations", name))
		assert.Contains(t, string(compose), name+"-api:")
		assert.Contains(t, string(compose), name+"-consumer:")
		assert.Contains(t, string(sql), "CREATE ROLE "+name+" LOGIN")
	}
}

// A service's user of the broker configures nothing, writes exchanges, and reads its own queues and the log.
func TestBrokerUsersMayDoNoMoreThanTheyNeed(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("deploy/rabbitmq-definitions.json")
	require.NoError(t, err)
	var definitions struct {
		Permissions []struct{ User, Configure, Write, Read string }
	}
	require.NoError(t, json.Unmarshal(file, &definitions))
	found := 0
	for _, p := range definitions.Permissions {
		if !slices.Contains(process.Names(), p.User) {
			continue
		}
		found++
		assert.Equal(t, "^$", p.Configure)
		assert.Equal(t, `^stega\.(events|commands|dead)$`, p.Write)
		assert.Equal(t, `^(stega\.log|stega\.`+p.User+`\.(events|commands|dead))$`, p.Read)
	}
	assert.Equal(t, len(process.Names()), found)
}
