package server_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
)

func pipelined(tag, mailboxName, text string) string {
	return fmt.Sprintf("%s APPEND %s {%d+}\r\n%s\r\n", tag, mailboxName, len(text), text)
}

func pipelinedLetter(n int) string { return fmt.Sprintf("Subject: letter %d\r\n\r\ntext %d\r\n", n, n) }

// TestPipelinedAppends sends messages without waiting for answers, to a store that is
// 30 ms away. They are answered and stored in order, many share an entry of the log,
// several are stored at once, and so it takes a fraction of the time.
func TestPipelinedAppends(t *testing.T) {
	const n, latency = 60, 30 * time.Millisecond
	mem := memblob.New()
	count := blobtest.NewCounting(mem, bodies)
	slow := blobtest.NewSlow(count, latency)
	w := newWorld(t, slow)
	p := w.enter("INBOX")
	count.Reset()
	began := time.Now()
	for i := range n / 10 {
		p.ok(strings.TrimPrefix(strings.TrimSuffix(pipelined("", "INBOX", pipelinedLetter(i+1)), "\r\n"), " "))
	}
	alone := time.Since(began)
	entries := count.All()[blobtest.Class{Op: blobtest.OpCreate, Name: "log"}].Calls
	require.Equal(t, n/10, entries, "one after the other, each has its own")

	count.Reset()
	began = time.Now()
	var all strings.Builder
	for i := n / 10; i < n; i++ {
		all.WriteString(pipelined(fmt.Sprintf("m%d", i), "INBOX", pipelinedLetter(i+1)))
	}
	p.send(all.String())
	for i := n / 10; i < n; i++ {
		_, answer := p.until(fmt.Sprintf("m%d ", i))
		require.Regexp(t, fmt.Sprintf(`^OK \[APPENDUID \d+ %d\] `, i+1), answer)
	}
	together := time.Since(began)
	entries = count.All()[blobtest.Class{Op: blobtest.OpCreate, Name: "log"}].Calls
	t.Logf("%v for a message, one after the other; %v pipelined, in %d entries for %d messages, %d requests at once",
		alone/(n/10), together/(n-n/10), entries, n-n/10, slow.Most())
	assert.LessOrEqual(t, entries, (n-n/10)/4)
	assert.Less(t, 3*together/(n-n/10), alone/(n/10))
	assert.GreaterOrEqual(t, slow.Most(), 6)
	p.ok("NOOP")
	var texts []string
	for _, line := range p.ok("FETCH 1:* (UID BODY.PEEK[TEXT])") {
		if strings.HasPrefix(line, "text ") {
			texts = append(texts, line)
		}
	}
	require.Len(t, texts, n)
	for i, text := range texts {
		require.Equal(t, fmt.Sprintf("text %d", i+1), text, "in the order of the commands")
	}
}

// TestPipelinedAppendsFail mixes in what fails: the others do not suffer, and each
// answer is that of its command.
func TestPipelinedAppendsFail(t *testing.T) {
	w := newWorld(t, nil)
	p := w.enter("INBOX")
	p.ok("CREATE Other")
	p.send(pipelined("a", "INBOX", pipelinedLetter(1)) +
		pipelined("b", "Nowhere", pipelinedLetter(2)) +
		pipelined("c", "Other", pipelinedLetter(3)) +
		pipelined("d", "INBOX (\\Bad", pipelinedLetter(4)) +
		pipelined("e", "INBOX (\\Seen)", pipelinedLetter(5)) +
		"f NOOP\r\n" +
		pipelined("g", "INBOX", pipelinedLetter(6)) +
		"h FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])\r\n")
	answers := map[string]string{}
	var fetched []string
	for len(answers) < 8 {
		tag, rest, _ := strings.Cut(p.line(), " ")
		require.False(t, p.ended)
		switch {
		case len(tag) == 1 && tag != "*" && tag != ")":
			answers[tag] = rest
		case strings.HasPrefix(tag, "Subject:"):
			fetched = append(fetched, rest)
		}
	}
	for tag, want := range map[string]string{
		"a": "OK [APPENDUID", "b": "NO [TRYCREATE]", "c": "OK [APPENDUID", "d": "BAD", "e": "OK [APPENDUID", "f": "OK", "g": "OK [APPENDUID", "h": "OK",
	} {
		assert.True(t, strings.HasPrefix(answers[tag], want), "%s %s", tag, answers[tag])
	}
	assert.Equal(t, []string{"letter 1", "letter 5", "letter 6"}, fetched)
}

// TestPipelinedAppendsTrouble: what the store does not take is said of each.
func TestPipelinedAppendsTrouble(t *testing.T) {
	mem := memblob.New()
	faulty := blobtest.NewFaulty(mem, nil)
	w := newWorld(t, faulty)
	p := w.enter("INBOX")
	second := sync.OnceValue(func() blobtest.Fault { return blobtest.Fault{Before: blobtest.ErrInjected} })
	n := 0
	var mu sync.Mutex
	faulty.SetPlan(func(op blobtest.Op, name string, _ int) blobtest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if op == blobtest.OpCreate && bodies(name) == "body" {
			if n++; n == 2 {
				return second()
			}
		}
		return blobtest.Fault{}
	})
	p.send(pipelined("a", "INBOX", pipelinedLetter(1)) + pipelined("b", "INBOX", pipelinedLetter(2)) + pipelined("c", "INBOX", pipelinedLetter(3)))
	failed := 0
	for _, tag := range []string{"a ", "b ", "c "} {
		_, answer := p.until(tag)
		if strings.HasPrefix(answer, "NO [UNAVAILABLE]") {
			failed++
		} else {
			assert.True(t, strings.HasPrefix(answer, "OK [APPENDUID"), answer)
		}
	}
	assert.Equal(t, 1, failed)
	p.ok("NOOP")
	assert.Len(t, p.ok("FETCH 1:* UID"), 2)
}

// TestPipelinedAppendsCut drops the connection in the middle of a message, with
// others before it that were not answered: each is there or not, and no body stays
// behind that nothing points to.
func TestPipelinedAppendsCut(t *testing.T) {
	mem := memblob.New()
	w := newWorld(t, mem)
	p := w.enter("")
	text := pipelinedLetter(1)
	p.send(pipelined("a", "INBOX", text) + pipelined("b", "INBOX", text) + fmt.Sprintf("c APPEND INBOX {%d+}\r\nSubject: half", len(text)))
	require.NoError(t, p.c.Close())
	_, _ = io.Copy(io.Discard, p.br)
	w.put("INBOX", text)
	require.Eventually(t, func() bool {
		n := 0
		for info, err := range mem.List(t.Context(), "", "") {
			require.NoError(t, err)
			if bodies(info.Name) == "body" {
				n++
			}
		}
		status, err := w.account.Status(t.Context(), "INBOX")
		require.NoError(t, err)
		return n == status.Messages
	}, 30*time.Second, 20*time.Millisecond)
}
