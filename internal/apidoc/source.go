package apidoc

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// source is what the Go source says beyond the types: comments of fields, constants of named texts, and the codes of
// faults.
type source struct {
	comments map[string]string   // by package.Type.Field
	enums    map[string][]string // by package.Type
	codes    map[string]Code
}

// Code is an error code of the API.
type Code struct {
	Code, Constructor string // the name of the function that makes the fault, or of its kind
	Detail            string // its text, with … for what varies
}

// read parses the packages of the project below a folder.
func read(root string) (*source, error) {
	s := &source{comments: map[string]string{}, enums: map[string][]string{}, codes: map[string]Code{}}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return cmp.Or(err, filepath.SkipDir)
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		s.file("stega/"+filepath.ToSlash(relative), file)
		return nil
	})
	return s, err
}

func (s *source) file(pkg string, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.TypeSpec:
			if t, ok := n.Type.(*ast.StructType); ok {
				s.structure(pkg+"."+n.Name.Name, t)
			}
		case *ast.ValueSpec:
			s.constant(pkg, n)
		case *ast.CallExpr:
			s.fault(pkg, n)
		}
		return true
	})
}

func (s *source) structure(name string, t *ast.StructType) {
	for _, f := range t.Fields.List {
		text := f.Comment.Text()
		if text == "" {
			text = f.Doc.Text()
		}
		for _, n := range f.Names {
			s.comments[name+"."+n.Name] = strings.Join(strings.Fields(text), " ")
		}
	}
}

func (s *source) constant(pkg string, v *ast.ValueSpec) {
	name, ok := v.Type.(*ast.Ident)
	if !ok {
		return
	}
	for _, value := range v.Values {
		if lit, ok := value.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, _ := strconv.Unquote(lit.Value) // the parser has read it
			s.enums[pkg+"."+name.Name] = append(s.enums[pkg+"."+name.Name], text)
		}
	}
}

// fault notes the code of a call such as fault.Invalid("code", "detail").
func (s *source) fault(pkg string, call *ast.CallExpr) {
	// which serve nothing
	for _, of := range []string{"stega/cmd", "stega/client", "stega/daemon", "stega/internal", "stega/test",
		"stega/bench"} {
		if strings.HasPrefix(pkg, of) || strings.HasSuffix(pkg, "test") {
			return
		}
	}
	constructor, args := "", call.Args
	switch fun := call.Fun.(type) {
	case *ast.Ident: // a constructor of its package
		constructor = fun.Name
	case *ast.SelectorExpr:
		if x, ok := fun.X.(*ast.Ident); ok && x.Name == "fault" {
			constructor = fun.Sel.Name
		}
	}
	if constructor == "" {
		return
	}
	if constructor == "New" && len(args) > 0 {
		if kind, ok := args[0].(*ast.SelectorExpr); ok {
			constructor, args = kind.Sel.Name, args[1:]
		}
	}
	if len(args) < 2 {
		return
	}
	var texts [2]string
	for i := range texts {
		if texts[i] = literal(args[i]); texts[i] == "" {
			return
		}
	}
	if statusOf(constructor) == 0 || !codeForm.MatchString(texts[0]) {
		return
	}
	if _, there := s.codes[texts[0]]; !there {
		s.codes[texts[0]] = Code{texts[0], constructor, verbs.ReplaceAllString(texts[1], "…")}
	}
}

// literal returns the text of a string literal, or of a sum of them; empty for anything else.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, _ := strconv.Unquote(e.Value) // the parser has read it
			return text
		}
	case *ast.BinaryExpr:
		if x, y := literal(e.X), literal(e.Y); e.Op == token.ADD && x != "" && y != "" {
			return x + y
		}
	}
	return ""
}

var codeForm = regexp.MustCompile(`^[a-z]+(_[a-z]+)+$`)

func key(t reflect.Type) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	return t.PkgPath() + "." + name
}

// values returns the constants of a named text type, ordered; nil when there are none.
func (s *source) values(t reflect.Type) []string {
	values := slices.Clone(s.enums[key(t)])
	slices.Sort(values)
	return slices.Compact(values)
}

func (s *source) comment(t reflect.Type, field string) string { return s.comments[key(t)+"."+field] }
