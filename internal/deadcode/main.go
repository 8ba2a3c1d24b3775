// Command deadcode finds functions that nothing but a test reaches. Its roots are
// the programs under examples and everything that an importable package exports.
//
//	go install golang.org/x/tools/cmd/deadcode@v0.52.0
//	go run ./internal/deadcode
//
// The analysis starts at main functions, so the command writes a program that
// refers to all exported names, runs the analysis and removes the program. It
// exits with 1 if a function is unreachable and not listed in allowed.txt, or if
// a line of that file is no longer needed.
package main

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const module = "github.com/letterlock/letterlock"

// allowed has a line for each exception: package, function, reason.
//
//go:embed allowed.txt
var allowed string

// support are packages that only tests and benchmarks use.
var support = []string{"internal/fakes3", "internal/e2e", "internal/deadcode"}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "deadcode:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp(filepath.Join("internal", "deadcode"), "roots")
	if err != nil {
		return fmt.Errorf("run this in the module's root: %w", err)
	}
	defer os.RemoveAll(dir)
	source, err := roots()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o644); err != nil {
		return err
	}
	cmd := exec.Command("deadcode", "-f", `{{range .Funcs}}{{printf "%s %s %s\n" $.Path .Name .Position}}{{end}}`, "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("run the analysis: %w", err)
	}
	return judge(string(out))
}

// judge compares what was found with the exceptions.
func judge(found string) error {
	left := exceptions()
	var bad []string
	for line := range strings.Lines(found) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		pkg := strings.TrimPrefix(strings.TrimPrefix(f[0], module), "/")
		if slices.ContainsFunc(support, func(s string) bool { return pkg == s || strings.HasPrefix(pkg, s+"/") }) {
			continue
		}
		key := pkg + " " + f[1]
		if _, ok := left[key]; ok {
			left[key] = true
			continue
		}
		bad = append(bad, fmt.Sprintf("%s: %s is reached by tests only", f[2], f[1]))
	}
	for key, used := range left {
		if !used {
			bad = append(bad, fmt.Sprintf("allowed.txt: %s is reached now, or gone: remove the line", key))
		}
	}
	slices.Sort(bad)
	if len(bad) > 0 {
		return fmt.Errorf("%d findings\n%s", len(bad), strings.Join(bad, "\n"))
	}
	return nil
}

// exceptions returns the first two words of each line.
func exceptions() map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(allowed) {
		if f := strings.Fields(line); len(f) > 2 && !strings.HasPrefix(line, "#") {
			out[f[0]+" "+f[1]] = false
		}
	}
	return out
}

// roots returns a program that refers to every exported name.
func roots() (string, error) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}}\t{{.Name}}\t{{.Dir}}\t{{range .GoFiles}}{{.}} {{end}}", "./...").Output()
	if err != nil {
		return "", fmt.Errorf("list packages: %w", err)
	}
	var imports, uses strings.Builder
	n := 0
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 4 || f[1] == "main" || internal.MatchString(f[0]) {
			continue
		}
		names, err := exported(f[2], strings.Fields(f[3]))
		if err != nil {
			return "", err
		}
		if len(names) == 0 {
			continue
		}
		n++
		fmt.Fprintf(&imports, "\tp%d %q\n", n, f[0])
		for _, name := range names {
			fmt.Fprintf(&uses, "\t"+name+"\n", fmt.Sprintf("p%d", n))
		}
	}
	return "package main\n\nimport (\n" + imports.String() + ")\n\nvar sink []any\n\nfunc main() {\n" + uses.String() + "}\n", nil
}

var internal = regexp.MustCompile(`(^|/)(internal|examples)(/|$)`)

// exported returns a statement for each exported function and type, with %s for
// the package. A type that becomes an interface value brings its exported methods.
// Generic ones need an instance, and are reached by their users.
func exported(dir string, files []string) ([]string, error) {
	var out []string
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, file), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.IsExported() && d.Type.TypeParams == nil {
					out = append(out, "sink = append(sink, %s."+d.Name.Name+")")
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if s, ok := spec.(*ast.TypeSpec); ok && s.Name.IsExported() && s.TypeParams == nil {
						out = append(out, "sink = append(sink, new(%s."+s.Name.Name+"))")
					}
				}
			}
		}
	}
	return out, nil
}
