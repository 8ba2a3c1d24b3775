package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// flooded is a server, and a client that behaves and must be served whatever
// others do.
type flooded struct {
	t     *testing.T
	s     *server
	token string
	good  *imapclient.Client
}

func newFlooded(t *testing.T, args ...string) *flooded {
	dir := newStore(t)
	token := strings.TrimSpace(must(t, password+"\n", "account", "token", "add", "ann", "-store", dir))
	s := start(t, dir, args...)
	f := &flooded{t: t, s: s, token: token, good: login(t, s.imap, token)}
	for i := range 20 {
		_, _, err := appendMail(f.good, "INBOX", append(mail(fmt.Sprintf("old-%d", i)), strings.Repeat("0123456789abcdef\r\n", 4000)...))
		require.NoError(t, err)
	}
	_, err := f.good.Select("INBOX", nil).Wait()
	require.NoError(t, err)
	return f
}

// served asserts that the good client is, by IMAP and by LMTP, and that the
// server never used more memory than it had and so many MiB.
func (f *flooded) served(before, most int) {
	f.t.Helper()
	assert.Contains(f.t, string(read(f.t, f.good, 1)), "The text of old-0.")
	c, err := dialLMTP(f.t.Context(), f.s.lmtp)
	require.NoError(f.t, err)
	defer c.Close()
	_, err = deliver(c, mail("new"), "ann@example.org")
	require.NoError(f.t, err)
	if raceFlag == "-race" {
		most *= 10 // what the race detector notes
	}
	assert.LessOrEqual(f.t, f.peak()-before, most, "MiB that the server grew by")
	assert.NotContains(f.t, f.s.logged(), "panic")
}

// peak returns the most memory that the server ever had, in MiB.
func (f *flooded) peak() int {
	f.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.s.cmd.Process.Pid))
	require.NoError(f.t, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kb int
	_, err = fmt.Sscan(rest, &kb)
	require.NoError(f.t, err)
	return kb >> 10
}

// rude is a connection that keeps to no protocol.
type rude struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

func (f *flooded) dial(address string) *rude {
	f.t.Helper()
	c, err := net.Dial("tcp", address)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { c.Close() })
	require.NoError(f.t, c.SetDeadline(time.Now().Add(3*patience)))
	return &rude{c, f.t, bufio.NewReader(c)}
}

// imap returns a connection that has logged in and selected INBOX.
func (f *flooded) imap() *rude {
	f.t.Helper()
	c := f.dial(f.s.imap)
	c.say("l LOGIN ann %s\r\ns SELECT INBOX\r\n", f.token)
	c.until("s ")
	return c
}

// say writes what it can: a server may have closed the connection by then.
func (c *rude) say(format string, args ...any) { fmt.Fprintf(c, format, args...) }

// until reads lines until one begins with the prefix, and returns it; or "" if
// the server closes the connection before.
func (c *rude) until(prefix string) string {
	c.t.Helper()
	for {
		line, err := c.in.ReadString('\n')
		if strings.HasPrefix(line, prefix) {
			return line
		}
		if err != nil {
			assert.False(c.t, os.IsTimeout(err), "no answer %q", prefix)
			return ""
		}
	}
}

// More connections than are allowed are told so, and the others served.
func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	f := newFlooded(t, "-max-conns", "50")
	before := f.peak()
	told, held := 0, []*rude{}
	for range 400 {
		c := f.dial(f.s.imap)
		if line, _ := c.in.ReadString('\n'); strings.HasPrefix(line, "* OK") {
			held = append(held, c)
		} else if assert.Contains(t, line, "* BYE") {
			told++
		}
	}
	assert.Positive(t, told)
	assert.LessOrEqual(t, len(held), 50)
	lmtp := []*rude{}
	for range 300 {
		c := f.dial(f.s.lmtp)
		c.say("LHLO x\r\n")
		lmtp = append(lmtp, c)
	}
	for _, c := range lmtp {
		if line, _ := c.in.ReadString('\n'); !strings.HasPrefix(line, "220 ") {
			assert.Regexp(t, "^421 ", line)
		}
		c.Close()
	}
	f.served(before, 64)
	for _, c := range held {
		c.Close()
	}
	eventually(t, "there is room again", func() bool {
		c, err := net.Dial("tcp", f.s.imap)
		if err != nil {
			return false
		}
		defer c.Close()
		line, _ := bufio.NewReader(c).ReadString('\n')
		return strings.HasPrefix(line, "* OK")
	})
}

// Clients that begin something and never end it keep nobody waiting.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	f := newFlooded(t)
	before := f.peak()
	for i := range 60 {
		c := f.imap()
		c.say("%s", []string{"a", "a FETCH 1 (BODY[", "a APPEND INBOX {1000000}\r\n", "a SEARCH TEXT {10}\r\n", "a IDLE\r\nx"}[i%5])
		c = f.dial(f.s.lmtp)
		c.say("%s", []string{"L", "LHLO x\r\nMAIL FROM:<", "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<ann>\r\nDATA\r\nSubject: x", "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<ann>\r\nBDAT 1000000\r\nx"}[i%4])
	}
	f.served(before, 64)
}

// A client that asks for everything and reads nothing costs what one command costs.
func TestClientsThatDoNotRead(t *testing.T) {
	t.Parallel()
	f := newFlooded(t)
	before := f.peak()
	var work sync.WaitGroup
	for i := range 8 {
		c := f.imap()
		work.Go(func() {
			_ = c.SetWriteDeadline(time.Now().Add(2 * time.Second)) // then the server takes no more
			line := []string{"a FETCH 1:* BODY.PEEK[]\r\n", "a NOOP\r\n", "a SEARCH ALL\r\n", "a LIST \"\" *\r\n"}[i%4]
			for n := 0; n < 200_000; n++ {
				if _, err := io.WriteString(c, line); err != nil {
					return
				}
			}
		})
	}
	work.Wait()
	f.served(before, 64)
}

// Literals, lines and searches of any size are refused before they cost anything.
func TestHugeCommands(t *testing.T) {
	t.Parallel()
	f := newFlooded(t)
	before := f.peak()
	long := strings.Repeat("x", 16<<20)
	for name, text := range map[string]string{
		"literal of 4 GB":        "a APPEND INBOX {4294967295}\r\n",
		"literal of no size":     "a APPEND INBOX {99999999999999999999999}\r\n",
		"literal in a search":    "a SEARCH TEXT {1000000000}\r\n",
		"non-synchronizing":      "a APPEND INBOX {4294967295+}\r\n",
		"line without an end":    "a NOOP " + long,
		"quoted without an end":  "a SELECT \"" + long,
		"brackets":               "a SEARCH " + strings.Repeat("(", 1<<20) + "ALL" + strings.Repeat(")", 1<<20) + "\r\n",
		"not not not":            "a SEARCH " + strings.Repeat("NOT ", 1<<20) + "ALL\r\n",
		"or or or":               "a SEARCH " + strings.Repeat("OR ALL ", 1<<20) + "ALL\r\n",
		"set":                    "a FETCH " + strings.Repeat("1,", 1<<20) + "1 FLAGS\r\n",
		"brackets in a list":     "a FETCH 1 " + strings.Repeat("(", 1<<20) + "\r\n",
		"deep, and short enough": "a SEARCH " + strings.Repeat("(", 3000) + "ALL" + strings.Repeat(")", 3000) + "\r\n",
		"not, and short enough":  "a SEARCH " + strings.Repeat("NOT ", 3000) + "ALL\r\n",
	} {
		c := f.imap()
		go c.say("%s", text)
		// It is refused, or the connection closed, and not waited for.
		if line := c.until("a "); line != "" {
			assert.Regexp(t, "^a (NO|BAD) ", line, name)
		}
		c.Close()
	}
	for name, text := range map[string]string{
		"before a login": "a LOGIN {100000000}\r\n",
		"authenticate":   "a AUTHENTICATE PLAIN " + long + "\r\n",
		"append":         "a APPEND INBOX {10}\r\n",
	} {
		c := f.dial(f.s.imap)
		go c.say("%s", text)
		if line := c.until("a "); line != "" {
			assert.Regexp(t, "^a (NO|BAD) ", line, name)
		}
		c.Close()
	}
	f.served(before, 64)
}

// LMTP is as strict.
func TestHugeLMTP(t *testing.T) {
	t.Parallel()
	f := newFlooded(t)
	before := f.peak()
	for name, text := range map[string]string{
		"line without an end": strings.Repeat("x", 16<<20),
		"mail from":           "LHLO x\r\nMAIL FROM:<" + strings.Repeat("x", 1<<20) + ">\r\n",
		"size":                "LHLO x\r\nMAIL FROM:<> SIZE=99999999999\r\n",
	} {
		c := f.dial(f.s.lmtp)
		go c.say("%s", text)
		if line := c.until("5"); line != "" {
			assert.Regexp(t, "^5[0-9][0-9] ", line, name)
		}
		c.Close()
	}
	// As many recipients as anybody likes, most of whom are refused.
	c := f.dial(f.s.lmtp)
	c.say("LHLO x\r\nMAIL FROM:<>\r\n")
	go c.say("%s", strings.Repeat("RCPT TO:<ann>\r\n", 20_000)+"QUIT\r\n")
	answers := map[string]int{}
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			assert.ErrorIs(t, err, io.EOF)
			break
		}
		answers[line[:3]]++
	}
	assert.Positive(t, answers["250"])
	assert.Less(t, answers["250"], 20_000)
	// A message longer than is taken is refused after it was read, or before.
	c = f.dial(f.s.lmtp)
	c.say("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<ann>\r\nDATA\r\n")
	c.until("354 ")
	go func() {
		line := bytes.Repeat([]byte("0123456789abcdef\r\n"), 60_000)
		for range 110 {
			if _, err := c.Write(line); err != nil {
				return
			}
		}
		c.say(".\r\n")
	}()
	assert.Contains(t, c.until("552 "), "552 ")
	f.served(before, 96)
}

// Clients that try passwords, or forgot theirs, wait for each other and not the
// others for them.
func TestLoginFlood(t *testing.T) {
	t.Parallel()
	f := newFlooded(t)
	before := f.peak()
	var work sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	for i := range 24 {
		work.Go(func() {
			c := f.dial(f.s.imap)
			c.say("a LOGIN ann wrong-%d\r\n", i)
			line := c.until("a ")
			mu.Lock()
			defer mu.Unlock()
			for _, kind := range []string{"[AUTHENTICATIONFAILED]", "[UNAVAILABLE]", "[INUSE]", "[LIMIT]"} {
				if strings.Contains(line, "a NO "+kind) {
					answers[kind]++
					return
				}
			}
			answers[line]++
		})
	}
	f.served(before, 512) // those derivations that are allowed at once
	one := login(t, f.s.imap, f.token)
	require.NoError(t, one.Noop().Wait())
	work.Wait()
	assert.Positive(t, answers["[AUTHENTICATIONFAILED]"])
	for answer := range answers {
		assert.Contains(t, []string{"[AUTHENTICATIONFAILED]", "[UNAVAILABLE]"}, answer)
	}
	t.Logf("answers: %v", answers)
	status, err := one.Status("INBOX", &imap.StatusOptions{NumMessages: true}).Wait()
	require.NoError(t, err)
	assert.NotZero(t, *status.NumMessages)
	f.served(before, 512)
}
