// Package api keeps the record of what the module exports. It has no code: its test
// compares the sources with testdata/api.txt.
package api

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "record what is exported now")

var record = filepath.Join("testdata", "api.txt")

// What is recorded is there, as it was. What was added is compatible, and is
// recorded by -update.
func TestExportedAPI(t *testing.T) {
	now := exported(t, filepath.Join("..", ".."))
	require.Greater(t, len(now), 300, "the packages were read")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(record), 0o755))
		require.NoError(t, os.WriteFile(record, []byte(strings.Join(now, "\n")+"\n"), 0o644))
	}
	b, err := os.ReadFile(record)
	require.NoError(t, err)
	recorded := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(b), "\r\n", "\n")), "\n")
	have := map[string]bool{}
	for _, line := range now {
		have[line] = true
	}
	var gone []string
	for _, line := range recorded {
		if !have[line] {
			gone = append(gone, line)
		}
	}
	require.Empty(t, gone, "gone or changed: if that is meant, say so in CHANGELOG.md and run go test ./internal/api -update")
	if added := len(now) - len(recorded); added > 0 {
		t.Logf("%d lines are new: go test ./internal/api -update records them", added)
	}
}

// exported returns a line for each exported thing of each package that others may
// import.
func exported(t *testing.T, root string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); dir != root && (err == nil || slices.Contains([]string{"internal", "examples", "testdata", "docs"}, d.Name()) || strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		rel, err := filepath.Rel(root, dir)
		if err == nil {
			lines = append(lines, packageLines(t, dir, filepath.ToSlash(rel))...)
		}
		return err
	})
	require.NoError(t, err)
	slices.Sort(lines)
	return slices.Compact(lines)
}

func packageLines(t *testing.T, dir, name string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var lines []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		if f.Name.Name == "main" {
			return nil
		}
		for _, d := range f.Decls {
			for _, line := range declLines(d) {
				lines = append(lines, name+": "+line)
			}
		}
	}
	return lines
}

// text prints a piece of source on one line.
func text(node any) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, token.NewFileSet(), node); err != nil {
		panic(err)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func declLines(d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return funcLine(d)
	case *ast.GenDecl:
		var lines []string
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() {
						lines = append(lines, fmt.Sprintf("%s %s", d.Tok, n.Name))
					}
				}
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					lines = append(lines, typeLines(s)...)
				}
			}
		}
		return lines
	}
	return nil
}

func funcLine(d *ast.FuncDecl) []string {
	if !d.Name.IsExported() {
		return nil
	}
	head := "func "
	if d.Recv != nil {
		of := text(d.Recv.List[0].Type)
		if !ast.IsExported(strings.TrimLeft(of, "*")) {
			return nil
		}
		head += "(" + of + ") "
	}
	return []string{head + d.Name.Name + strings.TrimPrefix(text(d.Type), "func")}
}

func typeLines(s *ast.TypeSpec) []string {
	name := "type " + s.Name.Name
	if s.TypeParams != nil {
		name += "[...]"
	}
	st, ok := s.Type.(*ast.StructType)
	if !ok {
		if s.Assign != 0 {
			name += " ="
		}
		return []string{name + " " + text(s.Type)}
	}
	lines := []string{name + " struct"}
	for _, f := range st.Fields.List {
		kind := text(f.Type)
		if f.Names == nil && ast.IsExported(kind[strings.LastIndexAny(kind, ".*")+1:]) {
			lines = append(lines, name+" struct, embeds "+kind)
		}
		for _, n := range f.Names {
			if n.IsExported() {
				lines = append(lines, name+" struct, "+n.Name+" "+kind)
			}
		}
	}
	return lines
}
