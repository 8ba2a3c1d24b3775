package server_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/memblob"
)

// section fetches one item that is a literal, copies it to w, and checks all
// around it.
func (p *peer) section(n int, item string, w io.Writer) {
	p.t.Helper()
	p.tag++
	tag := fmt.Sprintf("t%d ", p.tag)
	p.send(fmt.Sprintf("%sFETCH %d %s\r\n", tag, n, item))
	line := p.line()
	open := strings.LastIndexByte(line, '{')
	require.True(p.t, open > 0 && strings.HasSuffix(line, "}"), "%s: %s", item, line)
	size, err := strconv.ParseInt(line[open+1:len(line)-1], 10, 64)
	require.NoError(p.t, err)
	_, err = io.CopyN(w, p.br, size)
	require.NoError(p.t, err)
	require.Equal(p.t, ")", p.line(), "after the literal of %s", item)
	_, answer := p.until(tag)
	require.True(p.t, strings.HasPrefix(answer, "OK "), "%s: %s", item, answer)
}

func (p *peer) bytes(n int, item string) []byte {
	p.t.Helper()
	var b bytes.Buffer
	p.section(n, item, &b)
	return b.Bytes()
}

// TestBytesComeBack puts odd mail in and wants the same bytes out, whole and by
// any range.
func TestBytesComeBack(t *testing.T) {
	w := newWorld(t, nil)
	files, err := filepath.Glob("testdata/mail/*.eml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var mails [][]byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		mails = append(mails, b)
	}
	noise := make([]byte, 200<<10)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(noise)
	mails = append(mails, noise, bytes.Repeat([]byte("long header "), 10<<10), []byte("\r\n"), []byte("x"))
	for _, m := range mails {
		w.put("INBOX", string(m))
	}
	p := w.enter("INBOX")
	for i, want := range mails {
		require.Equal(t, want, p.bytes(i+1, "BODY.PEEK[]"), "message %d", i+1)
		header := p.bytes(i+1, "BODY.PEEK[HEADER]")
		text := p.bytes(i+1, "BODY.PEEK[TEXT]")
		require.Equal(t, want, append(header, text...), "message %d", i+1)
		require.Equal(t, want, p.bytes(i+1, "BINARY.PEEK[]"))
		for range 10 {
			off, n := rand.IntN(len(want)+2), 1+rand.IntN(len(want)+1)
			from := min(off, len(want))
			part := want[from:min(from+n, len(want))]
			require.Equal(t, string(part), string(p.bytes(i+1, fmt.Sprintf("BODY.PEEK[]<%d.%d>", off, n))), "message %d <%d.%d>", i+1, off, n)
		}
	}
}

// TestLongHeader fetches from a header that is longer than what is kept of it.
func TestLongHeader(t *testing.T) {
	w := newWorld(t, nil)
	header := "Subject: long\r\n" + strings.Repeat("X-Fill: "+strings.Repeat("x", 90)+"\r\n", 1000) + "X-Last: y\r\n\r\n"
	w.put("INBOX", header+"text\r\n")
	p := w.enter("INBOX")
	assert.Equal(t, header, string(p.bytes(1, "BODY.PEEK[HEADER]")))
	assert.Equal(t, header[100:150], string(p.bytes(1, "BODY.PEEK[HEADER]<100.50>")))
	assert.Equal(t, "Subject: long\r\nX-Last: y\r\n\r\n", string(p.bytes(1, "BODY.PEEK[HEADER.FIELDS (Subject X-Last)]")))
	assert.Equal(t, "ject: lo", string(p.bytes(1, "BODY.PEEK[HEADER.FIELDS.NOT (X-Fill X-Last)]<3.8>")))
	assert.Equal(t, "text\r\n", string(p.bytes(1, "BODY.PEEK[TEXT]")))
}

// bigMail writes a mail with an attachment of n bytes before encoding, in
// base64, around a needle near its end, and returns its size.
func bigMail(w io.Writer, n int) int64 {
	c := &counter{w: w}
	fmt.Fprint(c, "Subject: big\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	line := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("tea"), 19)) + "\r\n"
	for i := 0; i < n; i += 57 {
		fmt.Fprint(c, line)
	}
	fmt.Fprint(c, "\r\n--b\r\nContent-Type: text/plain\r\n\r\n")
	filler := strings.Repeat("nothing to see here\r\n", 50)
	for i := 0; i < n/5; i += len(filler) {
		fmt.Fprint(c, filler)
	}
	fmt.Fprint(c, "the needle\r\n--b--\r\n")
	return c.n
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.w.Write(p)
}

// peakHeap returns by how much the live heap grew while f ran, at most.
func peakHeap(f func()) int64 {
	live := func() int64 {
		runtime.GC()
		// Without what was allocated since, which may be garbage.
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(sample)
		return int64(sample[0].Value.Uint64())
	}
	runtime.GC()
	before := live()
	done := make(chan struct{})
	var peak int64
	var sampler sync.WaitGroup
	sampler.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				peak = max(peak, live()-before)
			case <-done:
				return
			}
		}
	})
	f()
	close(done)
	sampler.Wait()
	return peak
}

// TestSessionBigMessage moves a message of 50 MB through every command that touches its
// bytes, in memory that does not know of its size.
func TestSessionBigMessage(t *testing.T) {
	const limit = 4 << 20
	blobs, err := diskblob.Open(t.TempDir(), nil)
	require.NoError(t, err)
	w := newWorld(t, blobs)
	w.fill("INBOX", 1)
	p := w.enter("INBOX")
	p.bytes(1, "BODY.PEEK[]") // pools and caches exist

	const data = 29 << 20
	size := bigMail(io.Discard, data)
	require.Greater(t, size, int64(45<<20))
	grew := func(what string, f func()) {
		t.Helper()
		start := time.Now()
		n := peakHeap(f)
		t.Logf("%-22s %4d KiB, %v", what, n>>10, time.Since(start).Round(time.Millisecond))
		if !raceDetector {
			assert.Less(t, n, int64(limit), what)
		}
	}
	grew("APPEND", func() {
		p.send(fmt.Sprintf("big APPEND INBOX {%d+}\r\n", size))
		require.NoError(t, p.c.SetWriteDeadline(time.Now().Add(time.Minute)))
		out := bufio.NewWriter(p.c)
		bigMail(out, data)
		require.NoError(t, out.Flush())
		p.send("\r\n")
		_, answer := p.until("big ")
		require.True(t, strings.HasPrefix(answer, "OK [APPENDUID "), answer)
	})
	var n counter
	n.w = io.Discard
	grew("BODY.PEEK[]", func() { p.section(2, "BODY.PEEK[]", &n) })
	assert.Equal(t, size, n.n)
	grew("BODY.PEEK[]<40M.1000>", func() {
		assert.Len(t, p.bytes(2, "BODY.PEEK[]<40000000.1000>"), 1000)
	})
	n.n = 0
	grew("BINARY.PEEK[1]", func() { p.section(2, "BINARY.PEEK[1]", &n) })
	assert.Equal(t, int64((data+56)/57*57), n.n)
	grew("BINARY.PEEK[1]<9M.9>", func() {
		assert.Equal(t, "teateatea", string(p.bytes(2, "BINARY.PEEK[1]<9000000.9>")))
	})
	grew("BINARY.SIZE[1]", func() {
		assert.Equal(t, []string{fmt.Sprintf("* 2 FETCH (BINARY.SIZE[1] %d)", (data+56)/57*57)}, p.ok("FETCH 2 BINARY.SIZE[1]"))
	})
	grew("SEARCH TEXT", func() { assert.Equal(t, []string{"* SEARCH 2"}, p.ok(`SEARCH TEXT "the needle"`)) })
}

// bodies tells bodies from all other objects.
func bodies(name string) string {
	for _, kind := range []string{"body", "log"} {
		if strings.Contains(name, "/"+kind+"/") {
			return kind
		}
	}
	return "other"
}

// TestCosts counts what commands for a thousand messages cost: one entry of the
// log each, and no body for what the metadata answers.
func TestCosts(t *testing.T) {
	const n = 1000
	blobs := blobtest.NewCounting(memblob.New(), bodies)
	w := newWorld(t, blobs)
	w.fill("INBOX", n)
	p := w.enter("INBOX")
	p.ok("CREATE Box")
	p.ok("CREATE Bin")
	costs := func(command string, entries, opened int) (lines int) {
		t.Helper()
		blobs.Reset()
		lines = len(p.ok(command))
		all := blobs.All()
		assert.Equal(t, entries, all[blobtest.Class{Op: blobtest.OpCreate, Name: "log"}].Calls, "%s: entries\n%s", command, blobs)
		assert.Equal(t, opened, all[blobtest.Class{Op: blobtest.OpOpen, Name: "body"}].Calls, "%s: bodies\n%s", command, blobs)
		return lines
	}
	start := time.Now()
	assert.Equal(t, n, costs("FETCH 1:* FULL", 0, 0))
	t.Logf("FETCH FULL of %d: %v", n, time.Since(start))
	assert.Equal(t, 7*n, costs("FETCH 1:* (BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (Subject)] RFC822.HEADER BINARY.SIZE[1])", 0, 0))
	assert.Equal(t, 1, costs("SEARCH SUBJECT letter", 0, 0))
	costs("FETCH 1:10 BODY[]", 1, 10)
	costs("FETCH 1:10 (BODY[] FLAGS)", 0, 10)
	costs("COPY 1:* Box", 1, 0)
	costs("STORE 1:* +FLAGS.SILENT (\\Flagged)", 1, 0)
	assert.Equal(t, n+2, costs("MOVE 1:* Bin", 1, 0))
	costs("NOOP", 0, 0)
	p.ok("SELECT Bin")
	costs("STORE 1:* +FLAGS.SILENT (\\Deleted)", 1, 0)
	assert.Equal(t, n+1, costs("EXPUNGE", 1, 0))
}

// TestOneReadForNeighbours reads parts that lie beside each other at once.
func TestOneReadForNeighbours(t *testing.T) {
	blobs := blobtest.NewCounting(memblob.New(), bodies)
	w := newWorld(t, blobs)
	mail, err := os.ReadFile("testdata/mail/nested.eml")
	require.NoError(t, err)
	w.put("INBOX", string(mail))
	p := w.enter("INBOX")
	opened := func() int { return blobs.All()[blobtest.Class{Op: blobtest.OpOpen, Name: "body"}].Calls }
	blobs.Reset()
	p.ok("FETCH 1 (BODY.PEEK[1] BODY.PEEK[2] BODY.PEEK[2.1] BODY.PEEK[3]<4.9> BODY.PEEK[4])")
	assert.LessOrEqual(t, opened(), 2, "2.1 lies before the end of 2, all else in order")
	blobs.Reset()
	p.ok("FETCH 1 (BODY.PEEK[1] BODY.PEEK[3] BODY.PEEK[4])")
	assert.Equal(t, 1, opened())
}
