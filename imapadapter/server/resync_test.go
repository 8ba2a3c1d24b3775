package server_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox"
)

// pageCounter counts how many pages of mailboxes are read.
type pageCounter struct {
	blob.Store
	pages atomic.Int64
}

func (c *pageCounter) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if strings.Contains(name, "/page/") {
		c.pages.Add(1)
	}
	return c.Store.Open(ctx, name, off, n)
}

// TestReturningClient has a client come back to a folder of 100,000 messages of
// which 5 changed and 3 vanished, on a server that has nothing in memory: it is
// told these in a few hundred bytes, and nothing but the pages that changed is
// read.
func TestReturningClient(t *testing.T) {
	blobs := memblob.New()
	before := newWorld(t, blobs)
	for range 125 {
		before.put("INBOX", "Subject: x\r\n\r\ny\r\n", mailbox.FlagSeen)
	}
	p := before.enter("INBOX")
	for n := 125; n < 100_000; n = min(2*n, 100_000) {
		p.ok(fmt.Sprintf("COPY 1:%d INBOX", min(n, 100_000-n)))
	}
	p.ok("ENABLE CONDSTORE")
	status := p.ok("STATUS INBOX (MESSAGES HIGHESTMODSEQ UIDVALIDITY)")[0]
	var known, validity uint64
	_, err := fmt.Sscanf(status, "* STATUS INBOX (MESSAGES 100000 HIGHESTMODSEQ %d UIDVALIDITY %d)", &known, &validity)
	require.NoError(t, err, status)
	p.ok("UID STORE 1000,20000,30000,60000,99999 +FLAGS.SILENT (\\Flagged)")
	p.ok("UID STORE 7,50000,70000 +FLAGS.SILENT (\\Deleted)")
	p.ok("EXPUNGE")
	for i := range 40 { // worth a snapshot when the account is closed
		p.ok(fmt.Sprintf("SUBSCRIBE folder%d", i))
	}
	require.NoError(t, p.c.Close())
	require.NoError(t, before.server.Close())
	require.NoError(t, before.account.Close())
	require.NoError(t, before.store.Close())

	counter := &pageCounter{Store: blobs}
	after := newWorld(t, counter)
	p = after.enter("")
	p.ok("ENABLE QRESYNC")
	counter.pages.Store(0)
	begin := time.Now()
	lines := p.ok(fmt.Sprintf("SELECT INBOX (QRESYNC (%d %d))", validity, known))
	took := time.Since(begin)
	text := strings.Join(lines, "\r\n")
	t.Logf("%d bytes, %d pages, %v", len(text), counter.pages.Load(), took)
	assert.Less(t, len(text), 4<<10)
	assert.LessOrEqual(t, counter.pages.Load(), int64(8), "pages read")
	assert.Contains(t, lines, "* VANISHED (EARLIER) 7,50000,70000")
	fetched := 0
	for _, l := range lines {
		if strings.Contains(l, " FETCH (") && strings.Contains(l, "\\Flagged") {
			fetched++
		}
	}
	assert.Equal(t, 5, fetched)

	// FETCH CHANGEDSINCE reads no others either.
	q := newWorld(t, counter).enter("INBOX")
	counter.pages.Store(0)
	got := q.ok(fmt.Sprintf("UID FETCH 1:100000 (FLAGS) (CHANGEDSINCE %d)", known))
	assert.Len(t, got, 6, "with HIGHESTMODSEQ") // RFC 7162 section 3.1
	assert.LessOrEqual(t, counter.pages.Load(), int64(8), "pages read")
}
