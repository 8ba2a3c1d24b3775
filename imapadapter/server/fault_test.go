package server_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/imapadapter/server"
)

// damaged is a store that flips one byte of every body, once it is told which.
type damaged struct {
	blob.Store
	at atomic.Int64 // offset of the byte; 0: none
}

func (d *damaged) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	r, err := d.Store.Open(ctx, name, off, n)
	at := d.at.Load()
	if err != nil || at == 0 || bodies(name) != "body" {
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

// TestUnreadableBody fetches bodies that the store does not give, or not whole.
// What else was asked for is served, and the client is told.
func TestUnreadableBody(t *testing.T) {
	blobs := &damaged{Store: memblob.New()}
	faulty := blobtest.NewFaulty(blobs, nil)
	w := newWorld(t, faulty)
	w.fill("INBOX", 1)
	w.put("INBOX", long(300<<10))
	p := w.enter("INBOX")
	open := func(err error) blobtest.Plan {
		return func(op blobtest.Op, name string, _ int) blobtest.Fault {
			if op == blobtest.OpOpen && bodies(name) == "body" {
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
	assert.Equal(t, []string{`* 2 FETCH (FLAGS (\Seen \Recent))`}, p.no("FETCH 2 (BODY[TEXT] FLAGS)", "CORRUPTION"))
	blobs.at.Store(0)
	assert.Equal(t, long(300<<10), string(p.bytes(2, "BODY.PEEK[]")))

	text := w.log.String()
	assert.Contains(t, text, "command=FETCH")
	for _, secret := range []string{user, "letter", "INBOX", password} {
		assert.NotContains(t, text, secret)
	}
}

// TestDamageInLiteral meets damage after the literal was announced: the
// connection is cut, and no byte that is not the message's was sent.
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

// TestAppendCutOff drops the connection in the middle of a message: nothing may be left
// of it.
func TestAppendCutOff(t *testing.T) {
	w := newWorld(t, nil)
	for _, n := range []int{0, 1, 100, 999} {
		p := w.enter("")
		p.send("a APPEND INBOX {1000+}\r\n" + strings.Repeat("x", n))
		require.NoError(t, p.c.Close())
	}
	p := w.enter("")
	p.send("a APPEND INBOX {4}\r\n")
	require.True(t, strings.HasPrefix(p.line(), "+ "))
	p.send("text\r\n")
	_, answer := p.until("a ")
	require.True(t, strings.HasPrefix(answer, "OK "), answer)
	status, err := w.account.Status(t.Context(), "INBOX")
	require.NoError(t, err)
	assert.Equal(t, 1, status.Messages)
	assert.NotContains(t, w.log.String(), "WARN")
}

// TestReadOnlyStore has a store that takes nothing: what writes fails, and a
// message can be read though it cannot be marked as read.
func TestReadOnlyStore(t *testing.T) {
	t.Parallel() // the log tries for seconds
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	w := newWorld(t, faulty)
	w.fill("INBOX", 2)
	p := w.enter("INBOX")
	faulty.SetPlan(blobtest.Every(blobtest.OpCreate, blobtest.Fault{Before: blobtest.ErrInjected}))
	p.no("APPEND INBOX {2+}\r\nhi", "UNAVAILABLE")
	assert.Equal(t, "text 1\r\n", string(p.bytes(1, "BODY[TEXT]")))
	assert.Equal(t, []string{`* 1 FETCH (FLAGS (\Recent))`}, p.ok("FETCH 1 FLAGS"))
	faulty.SetPlan(nil)
	assert.Equal(t, []string{`* 1 FETCH (UID 1 FLAGS (\Seen \Recent))`}, p.ok("STORE 1 +FLAGS (\\Seen)"))
}

// TestTimeout gives up on a store that does not answer.
func TestTimeout(t *testing.T) {
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	w := newWorld(t, faulty, func(o *server.Options) { o.Timeout = 50 * time.Millisecond })
	w.put("INBOX", long(1000))
	p := w.enter("INBOX")
	hold := make(chan struct{})
	defer close(hold)
	faulty.SetPlan(blobtest.Every(blobtest.OpOpen, blobtest.Fault{Hold: hold}))
	p.no("FETCH 1 BODY.PEEK[]", "UNAVAILABLE")
	faulty.SetPlan(nil)
	assert.Equal(t, long(1000), string(p.bytes(1, "BODY.PEEK[]")))
}
