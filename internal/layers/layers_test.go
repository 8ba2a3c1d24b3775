// Package layers keeps the rule of who may import whom. It has no code: its test
// reads the files of the module.
package layers

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/letterlock/letterlock/"

// allowed says what a package may import of this module. A package that is not
// listed is listed by its nearest parent that is.
var allowed = map[string][]string{
	"blob":                         {},
	"blob/memblob":                 {"blob"},
	"blob/diskblob":                {"blob"},
	"blob/blobtest":                {"blob"},
	"blob/s3blob":                  {"blob"},
	"blob/s3blob/s3url":            {"blob/s3blob"},
	"internal/fakes3":              {},
	"blob/observeblob":             {"blob", "mailbox/observe"},
	"blob/cacheblob":               {"blob"},
	"crypto":                       {},
	"mailbox/observe":              {},
	"mailbox/observe/promobserver": {"crypto", "mailbox", "mailbox/observe"},
	"eventlog":                     {"blob", "crypto", "internal/jitter"},
	"internal/jitter":              {},

	"mailbox":                          {"blob", "crypto", "eventlog", "mailbox/message", "mailbox/observe", "mailbox/internal/state", "mailbox/internal/pages", "mailbox/internal/search", "mailbox/internal/layout", "mailbox/internal/pack", "mailbox/internal/wake", "mailbox/internal/gc", "mailbox/internal/check", "mailbox/internal/keyring"},
	"mailbox/message":                  {"mailbox/message/internal/charset"},
	"mailbox/message/internal/charset": {},
	"mailbox/internal/pack":            {"crypto"},
	"mailbox/internal/state":           {"crypto", "eventlog", "mailbox/internal/pack", "mailbox/message"},
	"mailbox/internal/pages":           {"blob", "crypto", "eventlog", "mailbox/message", "mailbox/internal/state", "mailbox/internal/layout", "mailbox/internal/pack"},
	"mailbox/internal/search":          {"mailbox/message", "mailbox/internal/state"},
	"mailbox/internal/layout":          {"blob", "eventlog", "mailbox/internal/pack"},
	"mailbox/internal/wake":            {"blob", "eventlog", "mailbox/internal/layout"},
	"mailbox/backup":                   {"blob", "eventlog", "mailbox/internal/layout"},
	"mailbox/internal/keyring":         {"crypto", "eventlog", "mailbox/internal/layout"},
	"mailbox/internal/golden":          {},
	"mailbox/internal/gc":              {"eventlog", "mailbox/internal/state", "mailbox/internal/pages", "mailbox/internal/layout", "mailbox/internal/pack", "blob"},
	"mailbox/internal/check":           {"blob", "crypto", "eventlog", "mailbox/internal/state", "mailbox/internal/pages", "mailbox/internal/layout", "mailbox/internal/pack", "mailbox/internal/gc"},

	"imapadapter":                    {"mailbox", "mailbox/message", "imapadapter/internal/translate", "imapadapter/internal/wire"},
	"imapadapter/guard":              {"imapadapter/internal/frame"},
	"imapadapter/server":             {"mailbox", "mailbox/message", "mailbox/observe", "imapadapter/internal/deflate", "imapadapter/internal/frame", "imapadapter/internal/translate", "imapadapter/internal/wire"},
	"imapadapter/internal/translate": {"imapadapter/internal/wire", "mailbox", "mailbox/message"},
	"imapadapter/internal/wire":      {"mailbox/message"},
	"imapadapter/internal/frame":     {},
	"imapadapter/internal/deflate":   {},

	"lmtpadapter":                          {"mailbox", "mailbox/observe"},
	"examples/mailserver/internal/archive": {},
	"examples/mailserver/internal/cli":     {"crypto"},
	"examples":                             {"mailbox/backup", "blob", "blob/cacheblob", "blob/observeblob", "mailbox/observe", "mailbox/observe/promobserver", "blob/memblob", "blob/diskblob", "blob/s3blob/s3url", "crypto", "eventlog", "mailbox", "mailbox/message", "imapadapter", "imapadapter/server", "lmtpadapter"},
	"internal":                             {},
	"mailbox/mailboxtest":                  {"blob", "mailbox"},
}

// only says which packages may import what is outside.
var only = map[string][]string{
	"github.com/emersion/go-imap/":        {"imapadapter", "imapadapter/guard", "imapadapter/server", "imapadapter/internal/translate", "examples"},
	"github.com/emersion/go-smtp":         {"lmtpadapter"},
	"github.com/emersion/go-message":      {},
	"filippo.io/age":                      {"crypto"},
	"golang.org/x/crypto/":                {"crypto"},
	"github.com/klauspost/compress/":      {"mailbox/internal/pack"},
	"github.com/vmihailenco/msgpack/":     {"mailbox/message", "mailbox/internal/state"},
	"github.com/aws/":                     {"blob/s3blob", "blob/s3blob/s3url", "internal/fakes3"},
	"github.com/aws/aws-sdk-go-v2/config": {"blob/s3blob/s3url"},
	"github.com/prometheus/":              {"mailbox/observe/promobserver", "examples"},
	"go.opentelemetry.io/":                {},
	"net/http":                            {"examples", "blob/s3blob", "blob/s3blob/s3url", "internal/fakes3"},
	"net":                                 {"imapadapter/guard", "imapadapter/server", "lmtpadapter", "examples", "blob/s3blob/s3url"},
}

func TestLayers(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && file != root) {
			return fs.SkipDir
		}
		// A folder with a go.mod of its own is another module.
		if _, err := os.Stat(filepath.Join(file, "go.mod")); d.IsDir() && file != root && err == nil {
			return fs.SkipDir
		}
		// Tests may use what they need.
		if d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		files++
		rel, err := filepath.Rel(root, filepath.Dir(file))
		require.NoError(t, err)
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			check(t, filepath.ToSlash(rel), name)
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, files, 50, "the files of the module were read")
}

func check(t *testing.T, from, name string) {
	t.Helper()
	owner := from
	for allowed[owner] == nil && owner != "." {
		owner = path.Dir(owner)
	}
	require.NotEqual(t, ".", owner, "package %s is not in the list of layers", from)
	if to, ok := strings.CutPrefix(name, module); ok {
		ok := slices.ContainsFunc(allowed[owner], func(a string) bool { return to == a }) || strings.HasPrefix(to, owner+"/") && owner == "examples"
		require.True(t, ok, "%s imports %s", from, to)
		return
	}
	for prefix, owners := range only {
		if name == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(name, prefix) || strings.HasPrefix(name, prefix+"/") && prefix != "net" {
			require.Contains(t, owners, owner, "%s imports %s", from, name)
		}
	}
	if strings.Contains(strings.Split(name, "/")[0], ".") {
		known := slices.ContainsFunc(dependencies(t), func(m string) bool { return name == m || strings.HasPrefix(name, m+"/") })
		require.True(t, known, "%s imports %s, which go.mod does not name", from, name)
	}
}

// dependencies returns the modules that go.mod requires directly.
func dependencies(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	require.NoError(t, err)
	var out []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && strings.Contains(f[0], ".") && strings.HasPrefix(f[1], "v") {
			out = append(out, f[0])
		}
	}
	return out
}
