package imapadapter_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/imapadapter"
	"github.com/letterlock/letterlock/mailbox"
)

// damaged is a store that flips one byte of every body.
type damaged struct {
	blob.Store
	at atomic.Int64 // offset of the byte; 0: none
}

func isBody(name string) bool { return strings.Contains(name, "/body/") }

func (d *damaged) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	r, err := d.Store.Open(ctx, name, off, n)
	at := d.at.Load()
	if err != nil || at == 0 || !isBody(name) {
		return r, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if i := at - off; err == nil && 0 <= i && i < int64(len(b)) {
		b[i] ^= 1
	}
	return io.NopCloser(bytes.NewReader(b)), err
}

func long(n int) string {
	return "Subject: long\r\n\r\n" + strings.Repeat("a line of a long letter\r\n", n/25)
}

// literal fetches an item that is a literal.
func (p *peer) literal(n int, item string) string {
	p.t.Helper()
	p.send(fmt.Sprintf("l FETCH %d %s\r\n", n, item))
	head := p.line()
	_, size, ok := strings.Cut(head, " {")
	require.True(p.t, ok, head)
	k, err := strconv.Atoi(strings.TrimSuffix(size, "}"))
	require.NoError(p.t, err, head)
	b := make([]byte, k)
	_, err = io.ReadFull(p.br, b)
	require.NoError(p.t, err)
	p.until("l OK ")
	return string(b)
}

// What a body that cannot be read leaves out, and what else was asked for is served.
func TestUnreadableBody(t *testing.T) {
	blobs := &damaged{Store: memblob.New()}
	faulty := blobtest.NewFaulty(blobs, nil)
	w := newWorld(t, faulty)
	w.fill("INBOX", 1)
	w.put("INBOX", long(300<<10))
	p := w.enter("INBOX")
	open := func(err error) blobtest.Plan {
		return func(op blobtest.Op, name string, _ int) blobtest.Fault {
			if op == blobtest.OpOpen && isBody(name) {
				return blobtest.Fault{Before: err}
			}
			return blobtest.Fault{}
		}
	}
	only := []string{"* 1 FETCH (UID 1)", "* 2 FETCH (UID 2)"}
	faulty.SetPlan(open(fs.ErrNotExist))
	assert.Equal(t, only, p.no("FETCH 1:2 (UID BODY.PEEK[])", "EXPUNGEISSUED"))
	assert.Empty(t, p.no("FETCH 1:2 BODY.PEEK[TEXT]", "EXPUNGEISSUED"), "a response with nothing in it is none")
	faulty.SetPlan(open(blobtest.ErrInjected))
	assert.Equal(t, only, p.no("FETCH 1:2 (UID BINARY.PEEK[1] BODY.PEEK[1])", "UNAVAILABLE"))
	p.no(`SEARCH TEXT nothing`, "UNAVAILABLE")
	faulty.SetPlan(nil)

	// A damage that is met before anything was announced, in a message of several.
	blobs.at.Store(40 << 10)
	lines := p.no("FETCH 1:2 (UID BODY.PEEK[])", "CORRUPTION")
	assert.Equal(t, []string{"* 1 FETCH (UID 1 BODY[] {29}", "Subject: letter 1", "", "text 1", ")", "* 2 FETCH (UID 2)"}, lines)
	p.no(`SEARCH TEXT nothing`, "CORRUPTION")
	assert.Len(t, p.ok("FETCH 1:2 FULL"), 2)

	// \Seen is set all the same: it was asked for, and comes first.
	assert.Equal(t, []string{`* 2 FETCH (FLAGS (\Recent \Seen))`}, p.no("FETCH 2 (BODY[TEXT] FLAGS)", "CORRUPTION"))
	blobs.at.Store(0)
	assert.Equal(t, long(300<<10), p.literal(2, "BODY.PEEK[]"))

	text := w.log.String()
	assert.Contains(t, text, "command=FETCH")
	for _, secret := range []string{user, "letter", "INBOX", password} {
		assert.NotContains(t, text, secret)
	}
}

// Damage behind the announcement of a literal cuts the connection, and no byte that is
// not the message's was sent.
func TestDamageInLiteral(t *testing.T) {
	for _, item := range []string{"BODY.PEEK[]", "BODY.PEEK[1]<1.250000>"} {
		blobs := &damaged{Store: memblob.New()}
		w := newWorld(t, blobs)
		w.put("INBOX", long(300<<10))
		p, other := w.enter("INBOX"), w.enter("INBOX")
		blobs.at.Store(200 << 10)
		p.send("a FETCH 1 " + item + "\r\n")
		head := p.line()
		require.True(t, strings.HasSuffix(head, "}"), head)
		require.NoError(t, p.c.SetReadDeadline(time.Now().Add(10*time.Second)))
		got, err := io.ReadAll(p.br)
		assert.NoError(t, err)
		assert.Less(t, len(got), 250000)
		assert.Contains(t, long(300<<10), string(got))
		assert.Contains(t, w.log.String(), "connection cut")
		other.ok("NOOP")
	}
}

// A connection that ends in the middle of a message leaves nothing of it, with the guard
// and without.
func TestAppendCutOff(t *testing.T) {
	for name, bare := range map[string]bool{"guarded": false, "bare": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.bare = bare
			for _, n := range []int{0, 1, 100, 999} {
				p := w.enter("")
				p.send("a APPEND INBOX {1000+}\r\n" + strings.Repeat("x", n))
				require.NoError(t, p.c.Close())
			}
			w.enter("").ok("APPEND INBOX {4+}\r\ntext")
			status, err := w.account.Status(t.Context(), "INBOX")
			require.NoError(t, err)
			assert.Equal(t, 1, status.Messages)
			assert.NotContains(t, w.log.String(), "WARN")
		})
	}
}

// A store that takes nothing fails what writes. A message can be read though it cannot
// be marked as read.
func TestReadOnlyStore(t *testing.T) {
	t.Parallel() // the log tries for seconds
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	w := newWorld(t, faulty)
	w.fill("INBOX", 2)
	p := w.enter("INBOX")
	faulty.SetPlan(blobtest.Every(blobtest.OpCreate, blobtest.Fault{Before: blobtest.ErrInjected}))
	p.no("APPEND INBOX {2+}\r\nhi", "UNAVAILABLE")
	assert.Equal(t, "text 1\r\n", p.literal(1, "BODY[TEXT]"))
	assert.Equal(t, []string{`* 1 FETCH (FLAGS (\Recent))`}, p.ok("FETCH 1 FLAGS"))
	faulty.SetPlan(nil)
	assert.Equal(t, []string{`* 1 FETCH (UID 1 FLAGS (\Seen \Recent))`}, p.ok("STORE 1 +FLAGS (\\Seen)"))
}

// A store that does not answer fails the command in time.
func TestTimeout(t *testing.T) {
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	w := newWorld(t, faulty)
	w.options.Timeout = 50 * time.Millisecond
	w.put("INBOX", long(1000))
	p := w.enter("INBOX")
	hold := make(chan struct{})
	defer close(hold)
	faulty.SetPlan(blobtest.Every(blobtest.OpOpen, blobtest.Fault{Hold: hold}))
	p.no("FETCH 1 BODY.PEEK[]", "UNAVAILABLE")
	faulty.SetPlan(nil)
	assert.Equal(t, long(1000), p.literal(1, "BODY.PEEK[]"))
}

func TestOptionsNeedAStore(t *testing.T) {
	assert.Panics(t, func() { imapadapter.New(&imapadapter.Options{}) })
	assert.Panics(t, func() { imapadapter.New(nil) })
}

// An app token logs in by all mechanisms until it is revoked.
func TestTokens(t *testing.T) {
	w := newWorld(t, nil)
	token, err := w.account.AddToken(t.Context(), "phone")
	require.NoError(t, err)
	secret := token.Export()
	w.dial().ok(fmt.Sprintf("LOGIN %s %s", user, secret))
	w.dial().ok("AUTHENTICATE PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+secret)))
	bearer := base64.StdEncoding.EncodeToString([]byte("n,a=" + user + ",\x01host=x\x01auth=Bearer " + secret + "\x01\x01"))
	p := w.dial()
	p.ok("AUTHENTICATE OAUTHBEARER " + bearer)
	p.ok("SELECT INBOX")
	infos, err := w.account.Tokens(t.Context())
	require.NoError(t, err)
	require.NoError(t, w.account.RevokeToken(t.Context(), infos[0].ID))
	w.dial().no(fmt.Sprintf("LOGIN %s %s", user, secret), "AUTHENTICATIONFAILED")
}

// An Authenticate of the program's own is asked, and what it fails with is translated.
func TestAuthenticate(t *testing.T) {
	w := newWorld(t, nil)
	w.options.LoginDelay = 20 * time.Millisecond
	w.options.Authenticate = func(ctx context.Context, name string, secret []byte) (*mailbox.Account, error) {
		switch name {
		case "busy":
			return nil, fmt.Errorf("wrapped: %w", mailbox.ErrBusy)
		case "broken":
			return nil, errors.New("database of secrets is down")
		case "a,b=c":
			return w.store.Login(ctx, user, []byte(password))
		}
		return nil, mailbox.ErrAuth
	}
	p := w.dial()
	p.no("LOGIN busy x", "UNAVAILABLE")
	p.no("LOGIN broken x", "UNAVAILABLE")
	began := time.Now()
	p.no("LOGIN other x", "AUTHENTICATIONFAILED")
	assert.GreaterOrEqual(t, time.Since(began), 20*time.Millisecond)
	p.ok("AUTHENTICATE OAUTHBEARER " + base64.StdEncoding.EncodeToString([]byte("n,a=a=2Cb=3Dc,\x01auth=Bearer x\x01\x01")))
	p.ok("SELECT INBOX")
	assert.Contains(t, w.log.String(), "failures=1")
}
