package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/bus"
	"stega/process"
)

// imports are the packages of the project that a package may import, besides those of leaves. A name with /... stands
// for all below it too. Of the keys, the longest that a package's path begins with is its rule; a package without one
// fails. Tests may import more.
var imports = map[string][]string{
	"main": {"cmd"},
	"cmd": {"api", "bench", "broker/...", "client", "daemon", "events", "internal/eventschema",
		"internal/files", "internal/plot", "process", "services/..."},
	"bench":           {"broker/...", "bus", "events", "process", "store"},
	"daemon":          {"api", "client", "events", "internal/files"},
	"client":          {"api", "events"},
	"api":             {"events"},
	"docs":            {},
	"process":         {"api", "broker", "bus", "docs", "events", "migrations", "rest", "services/...", "store"},
	"rest":            {"api", "broker", "bus", "events", "store"},
	"bus":             {"broker", "events", "store"},
	"replay":          {"bus", "events", "store"},
	"store":           {"broker", "events", "migrations"},
	"broker":          {"events"},
	"broker/rabbitmq": {"broker", "events"},
	"broker/embedded": {"broker", "events"},
	"events":          {},
	"migrations":      {},
	"series":          {"quant"},
	"quant":           {"quant/..."},
	"civil":           {},
	"fault":           {},
	"text":            {},

	"internal/backoff": {},

	"services":            {"api", "bus", "events", "replay", "rest"},
	"services/portfolio":  {"api", "bus", "events", "replay", "rest", "store"},
	"services/marketdata": {"api", "bus", "events", "quant", "replay", "rest", "services/marketdata/...", "store"},
	"services/returns": {"api", "bus", "events", "quant", "replay", "rest", "series", "services/internal/...",
		"store"},
	"services/correlations": {"api", "bus", "events", "quant", "replay", "rest", "series", "services/internal/...",
		"store"},
	"services/optimization": {
		"api", "bus", "events", "quant/...", "replay", "rest", "series", "services/internal/...", "store",
	},
	"services/internal": {"bus", "events", "replay", "store"},
	"services/boundary": {"api", "broker", "bus", "events", "rest", "services/boundary/...", "store"},

	// What tests share.
	"broker/brokertest":    {"broker", "events", "internal/wait"},
	"bus/bustest":          {"broker", "bus", "events", "internal/wait", "store"},
	"store/storetest":      {"broker", "events", "internal/...", "store"},
	"internal/apidoc":      {"api", "events", "internal/eventschema", "rest", "services/..."},
	"internal/eventschema": {"events"},
	"internal/files":       {},
	"internal/plot":        {},
	"internal/reference":   {},
	"internal/servers":     {"internal/wait"},
	"internal/stegatest":   {"broker/...", "events", "internal/...", "process", "store"},
	"internal/wait":        {},
	"test":                 {"api", "broker/...", "client", "events", "internal/...", "process", "store", "test/..."},
	"test/hostile":         {},
}

// leaves have no part in the system: a day, an error, a name, a delay. All packages may import them.
var leaves = []string{"civil", "fault", "internal/backoff", "text"}

// covers reports whether a name, which may end with /..., stands for a package.
func covers(name, pkg string) bool {
	below, tree := strings.CutSuffix(name, "/...")
	return pkg == below || tree && strings.HasPrefix(pkg, below+"/")
}

// ruleOf returns what a package may import; false when it has no rule.
func ruleOf(pkg string) (allowed []string, found bool) {
	longest := ""
	for name := range imports {
		if covers(name+"/...", pkg) && len(name) > len(longest) {
			longest = name
		}
	}
	return imports[longest], longest != ""
}

// Imports point one way, and no service imports another. All packages are looked at, those that only tests use too.
func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...").Output()
	require.NoError(t, err)
	local := func(path string) (string, bool) {
		if path == "stega" {
			return "main", true
		}
		return strings.CutPrefix(path, "stega/")
	}
	list, seen := json.NewDecoder(bytes.NewReader(out)), 0
	for list.More() {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		require.NoError(t, list.Decode(&pkg))
		name, _ := local(pkg.ImportPath)
		seen++
		allowed, found := ruleOf(name)
		if !assert.True(t, found, "%s has no rule: add it to imports", name) {
			continue
		}
		for _, path := range pkg.Imports {
			imported, own := local(path)
			if !own || !slices.Contains(leaves, name) && slices.Contains(leaves, imported) {
				continue
			}
			assert.True(t, slices.ContainsFunc(allowed, func(a string) bool {
				return covers(a, imported)
			}), "%s imports %s", name, imported)
		}
	}
	assert.Greater(t, seen, 30, "go list did not list all")
}

// The rules themselves have no holes: each way around them that once was open is closed.
func TestARuleCoversWhatIsBelowIt(t *testing.T) {
	t.Parallel()
	for pkg, may := range map[string]map[string]bool{
		"services/returns/figures": {
			"quant":              true,
			"services/portfolio": false,
			"services/returns/x": false,
			"store":              true,
		},
		"services/boundary/access": {"services/boundary/stream": true, "services/portfolio": false},
		"services/marketdata/deeper": {
			"services/marketdata/provider": true,
			"services/boundary/access":     false,
			"process":                      false,
		},
		"broker":          {"broker/rabbitmq": false, "store": false, "events": true},
		"broker/rabbitmq": {"broker/embedded": false, "broker": true},
		"quant/optimize":  {"quant": true, "events": false},
		"servicesque":     {"bus": false},
	} {
		allowed, _ := ruleOf(pkg)
		for imported, want := range may {
			assert.Equal(t, want, slices.ContainsFunc(allowed, func(a string) bool {
				return covers(a, imported)
			}), "%s imports %s", pkg, imported)
		}
	}
	_, found := ruleOf("newcomer")
	assert.False(t, found)
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
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil,
				parser.PackageClauseOnly|parser.ParseComments)
			require.NoError(t, err)
			if parsed.Doc != nil {
				comments++
				text := parsed.Doc.Text()
				assert.True(t, strings.HasPrefix(text, "Package ") || parsed.Name.Name == "main" &&
					strings.HasPrefix(text, "Command "), "%s: %s", file, text)
			}
		}
		assert.Equal(t, 1, comments, "package comments in %s", dir)
	}
}

// The pieces of a program are wired by hand: nothing runs at import.
func TestNoInitFunctions(t *testing.T) {
	t.Parallel()
	for _, files := range packages(t) {
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
		files := []string{"service.go", "handlers.go", "views.go", "routes.go"}
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

// An installation generates its secrets: none is in the tree for everybody to know.
func TestNoSecretIsInTheTree(t *testing.T) {
	t.Parallel()
	secret := regexp.MustCompile(
		`(?i)password['"]?[ :=]+['"]?\w|"password(_hash)?"|\w://[^/@ ]+:[^/@ ]+@|(token|secret|key): [^$/ \n]`)
	files, err := filepath.Glob("deploy/*")
	require.NoError(t, err)
	for _, file := range append(files, "compose.yaml", "Dockerfile") {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Empty(t, secret.FindAllString(string(content), -1), file)
	}
}
