package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// around is what the snippets of the pages stand in: they leave out what every
// reader knows.
const around = `package snippets

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"

	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/blob/s3blob"
	"github.com/letterlock/letterlock/blob/s3blob/s3url"
	"github.com/letterlock/letterlock/imapadapter"
	"github.com/letterlock/letterlock/imapadapter/guard"
	"github.com/letterlock/letterlock/imapadapter/server"
	"github.com/letterlock/letterlock/lmtpadapter"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/message"
)

type given struct {
	ctx                         context.Context
	store                       *mailbox.Store
	account                     *mailbox.Account
	view                        *mailbox.View
	mail, draft                 io.Reader
	listener, other, plain, raw net.Listener
	tlsConfig                   *tls.Config
}

func use(...any) {}

var _ = []any{slog.Default, fmt.Println, log.Fatal, blobtest.Run, memblob.New, blob.Info{}, s3blob.Open, s3url.Open, imapserver.New, imapadapter.Caps, guard.NewListener, server.New,
	lmtpadapter.Listen, message.ParseHeader, diskblob.Open}
`

// The pages' Go compiles. Variables that a snippet does not use are no mistake of
// a page.
func TestSnippetsCompile(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	fence := regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
	source := around
	found := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
			if strings.HasPrefix(m[1], "package ") || strings.HasPrefix(m[1], "func ") {
				continue // a program, or a whole function, is for a test of its own
			}
			found++
			source += fmt.Sprintf("\n// %s\nfunc snippet%d(g given) error {\n\tctx, store, account, view, mail, draft := g.ctx, g.store, g.account, g.view, g.mail, g.draft\n"+
				"\tlistener, other, plain, raw, tlsConfig := g.listener, g.other, g.plain, g.raw, g.tlsConfig\n"+
				"\tuse(ctx, store, account, view, mail, draft, listener, other, plain, raw, tlsConfig)\n\t{\n%s\n\t}\n\treturn nil\n}\n",
				filepath.Base(page), found, m[1])
		}
	}
	require.Greater(t, found, 6)
	file := filepath.Join(t.TempDir(), "snippets.go")
	require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
	build := exec.Command("go", "build", "-gcflags=-e", "-o", os.DevNull, file)
	build.Dir = root
	out, err := build.CombinedOutput()
	var wrong []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "declared and not used") {
			wrong = append(wrong, line)
		}
	}
	assert.Empty(t, wrong, "%v", err)
}
