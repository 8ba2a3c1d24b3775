package e2e

import (
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

// blocks returns the fenced blocks of a language in a page.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	require.NoError(t, err)
	fence := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$")
	var out []string
	for _, m := range fence.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\r\n", "\n"), -1) {
		out = append(out, m[1])
	}
	require.NotEmpty(t, out, "%s has no block of %s", page, language)
	return out
}

// demo starts a server with the demo's account and returns its password.
func demo(t *testing.T) (s *server, password string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mail")
	s = start(t, dir, "-demo")
	b, err := os.ReadFile(dir + ".demo-password")
	require.NoError(t, err)
	return s, strings.TrimSpace(string(b))
}

// The lines that the README has to paste are those that the program prints.
func TestReadmeLinesArePrinted(t *testing.T) {
	t.Parallel()
	s, password := demo(t)
	c, err := imapclient.DialInsecure(s.imap, nil)
	require.NoError(t, err)
	require.NoError(t, c.Login("demo", password).Wait())
	mails, _ := list(t, c, "INBOX")
	assert.Len(t, mails, 3)
	require.NoError(t, c.Close())
	s.stop(t)
	printed := strings.NewReplacer(password, "PASSWORD", s.imap, "127.0.0.1:1143", s.lmtp, "127.0.0.1:1124").Replace(s.out.String())

	shell := blocks(t, "README.md", "sh")
	require.Len(t, shell, 3)
	assert.Equal(t, "go run ./examples/mailserver serve -demo -store ./mail\n", shell[0])
	assert.Equal(t, "go test ./...\n", shell[2])
	lines := strings.Split(strings.TrimSpace(shell[1]), "\n")
	require.Len(t, lines, 3)
	for _, line := range lines {
		assert.Contains(t, printed, "    "+line+"\n")
	}
}

// The README's program compiles, runs, and serves the mail that it says.
func TestReadmeProgram(t *testing.T) {
	t.Parallel()
	programs := blocks(t, "README.md", "go")
	require.Len(t, programs, 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := ln.Addr().String()
	require.NoError(t, ln.Close()) // the program takes it
	require.Contains(t, programs[0], "127.0.0.1:1143")
	source := strings.Replace(programs[0], "127.0.0.1:1143", address, 1)
	dir := t.TempDir()
	file, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "readme.exe")
	require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
	formatted, err := exec.Command("gofmt", "-l", file).Output()
	require.NoError(t, err)
	assert.Empty(t, formatted)
	build := exec.Command("go", "build", "-o", binary, file)
	build.Dir = root // a file outside is compiled with the module's packages
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	program := exec.Command(binary)
	require.NoError(t, program.Start())
	t.Cleanup(func() {
		_ = program.Process.Kill()
		_ = program.Wait() // its end is the kill
	})
	var c *imapclient.Client
	eventually(t, "the program listens", func() bool {
		c, err = imapclient.DialInsecure(address, nil)
		return err == nil
	})
	defer c.Close()
	require.NoError(t, c.Login("ann", "a password").Wait())
	_, err = c.Select("INBOX", nil).Wait()
	require.NoError(t, err)
	assert.Equal(t, "Subject: Hello\r\n\r\nIt works.\r\n", string(read(t, c, imap.UID(1))))
}

// Links between the pages lead somewhere.
func TestLinksOfPages(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	found := 0
	pages := []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
	for _, pattern := range []string{"docs/*.md", "docs/decisions/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, file := range files {
			page, err := filepath.Rel(root, file)
			require.NoError(t, err)
			pages = append(pages, page)
		}
	}
	for _, page := range pages {
		text, err := os.ReadFile(filepath.Join(root, page))
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			found++
			_, err := os.Stat(filepath.Join(root, filepath.Dir(page), m[1]))
			assert.NoError(t, err, "%s links to it", page)
		}
	}
	require.Greater(t, found, 5)
}

// The README names every package that can be imported, and the list of pages every
// page.
func TestNothingIsLeftOutOfTheLists(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	packages := 0
	for _, dir := range []string{"blob", "crypto", "eventlog", "imapadapter", "lmtpadapter", "mailbox"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			if d.Name() == "internal" || d.Name() == "testdata" {
				return fs.SkipDir
			}
			if sources, err := filepath.Glob(filepath.Join(path, "*.go")); err != nil || len(sources) == 0 {
				return err
			}
			name, err := filepath.Rel(root, path)
			packages++
			assert.Contains(t, string(table), "`"+filepath.ToSlash(name)+"`")
			return err
		})
		require.NoError(t, err)
	}
	require.Greater(t, packages, 10)

	list, err := os.ReadFile(filepath.Join(root, "docs", "README.md"))
	require.NoError(t, err)
	for _, folder := range []string{"", "decisions"} {
		pages, err := filepath.Glob(filepath.Join(root, "docs", folder, "*.md"))
		require.NoError(t, err)
		require.NotEmpty(t, pages)
		for _, page := range pages {
			if name := filepath.Base(page); name != "README.md" {
				assert.Contains(t, string(list), "]("+strings.TrimPrefix(folder+"/", "/")+name+")")
			}
		}
	}
}
