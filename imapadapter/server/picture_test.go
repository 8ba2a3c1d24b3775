package server_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// picture is what a client knows of a mailbox from what it was told, and nothing
// else.
type picture struct {
	t    *testing.T
	p    *peer
	msgs []told
}

type told struct {
	uid   string // "" if not told yet
	flags string // sorted, without \Recent; "?" if not told yet
}

// do sends a command and follows what comes back, whether it succeeds or not.
func (pic *picture) do(command string) {
	pic.t.Helper()
	lines, answer := pic.p.do(command)
	require.False(pic.t, strings.HasPrefix(answer, "BAD "), "%s: %s", command, answer)
	pic.apply(command, lines)
}

// apply follows untagged responses. It fails if they cannot be followed, or if
// one comes that may not come now.
func (pic *picture) apply(command string, lines []string) {
	t := pic.t
	t.Helper()
	if strings.HasPrefix(command, "SELECT") {
		pic.msgs = nil
	}
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "*" {
			continue
		}
		n, err := strconv.Atoi(words[1])
		if err != nil {
			continue
		}
		switch words[2] {
		case "EXISTS":
			require.GreaterOrEqual(t, n, len(pic.msgs), "%s: %s shrinks", command, line)
			for len(pic.msgs) < n {
				pic.msgs = append(pic.msgs, told{flags: "?"})
			}
		case "EXPUNGE":
			verb, _, _ := strings.Cut(command, " ")
			require.NotContains(t, []string{"FETCH", "STORE", "SEARCH"}, verb, "told of %s", line)
			require.True(t, 1 <= n && n <= len(pic.msgs), "%s: %s of %d", command, line, len(pic.msgs))
			pic.msgs = slices.Delete(pic.msgs, n-1, n)
		case "FETCH":
			require.True(t, 1 <= n && n <= len(pic.msgs), "%s: %s of %d", command, line, len(pic.msgs))
			pic.fetched(&pic.msgs[n-1], line)
		}
	}
}

func (pic *picture) fetched(m *told, line string) {
	if _, rest, ok := strings.Cut(line, "UID "); ok {
		uid := rest[:strings.IndexAny(rest, " )")]
		require.True(pic.t, m.uid == "" || m.uid == uid, "%s: it was UID %s before", line, m.uid)
		m.uid = uid
	}
	if _, rest, ok := strings.Cut(line, "FLAGS ("); ok {
		flags := strings.Fields(rest[:strings.IndexByte(rest, ')')])
		flags = slices.DeleteFunc(flags, func(f string) bool { return f == `\Recent` })
		slices.Sort(flags)
		m.flags = strings.Join(flags, " ")
	}
}

// learn fetches what the client does not know yet.
func (pic *picture) learn() {
	if n := len(pic.msgs); n > 0 {
		first := slices.IndexFunc(pic.msgs, func(m told) bool { return m.uid == "" || m.flags == "?" })
		if first >= 0 {
			pic.do(fmt.Sprintf("FETCH %d:* (UID FLAGS)", first+1))
		}
	}
}

// check compares what the client was told with what is there.
func (pic *picture) check() {
	pic.t.Helper()
	pic.do("NOOP")
	pic.learn()
	fresh := &picture{t: pic.t, p: pic.p}
	for range pic.msgs {
		fresh.msgs = append(fresh.msgs, told{flags: "?"})
	}
	fresh.do("UID FETCH 1:* (UID FLAGS)")
	require.Equal(pic.t, fresh.msgs, pic.msgs)
}

// TestSessionsAgree lets several sessions change one mailbox at random, and asks
// each in the end whether what it was told is what is there.
func TestSessionsAgree(t *testing.T) {
	w := newWorld(t, nil)
	w.fill("INBOX", 30)
	w.enter("").ok("CREATE Other")
	const sessions, steps = 5, 120
	pics := make([]*picture, sessions)
	for i := range pics {
		pics[i] = &picture{t: t, p: w.enter("")}
		pics[i].do("SELECT INBOX")
	}
	var wg sync.WaitGroup
	for i, pic := range pics {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range steps {
				pic.step(random)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, pic := range pics {
		pic.check()
	}
	for _, pic := range pics[1:] {
		require.Equal(t, pics[0].msgs, pic.msgs)
	}
	require.NotEmpty(t, pics[0].msgs)
}

// step does one thing at random.
func (pic *picture) step(random *rand.Rand) {
	n := len(pic.msgs)
	if n < 5 || random.IntN(4) == 0 {
		pic.do("APPEND INBOX (\\Flagged) {17+}\r\nSubject: x\r\n\r\nabc")
		return
	}
	one := 1 + random.IntN(n)
	set := fmt.Sprintf("%d:%d", one, min(n, one+random.IntN(3)))
	switch random.IntN(10) {
	case 0:
		pic.do("STORE " + set + " +FLAGS (\\Deleted)")
	case 1:
		pic.do("EXPUNGE")
	case 2:
		pic.do(fmt.Sprintf("STORE %s FLAGS ($f%d)", set, random.IntN(5)))
	case 3:
		pic.do(fmt.Sprintf("MOVE %d Other", one))
	case 4:
		pic.do("COPY " + set + " INBOX")
	case 5:
		pic.do("FETCH " + set + " (UID FLAGS BODY[TEXT])")
	case 6:
		pic.do("SEARCH SUBJECT x")
		pic.do("UID SEARCH UNDELETED")
	case 7:
		pic.do("UID FETCH 1:* FLAGS")
	case 8:
		pic.idle()
	default:
		pic.learn()
	}
}

func (pic *picture) idle() {
	pic.p.tag++
	tag := fmt.Sprintf("t%d ", pic.p.tag)
	pic.p.send(tag + "IDLE\r\n")
	for {
		line := pic.p.line()
		if strings.HasPrefix(line, "+ ") {
			break
		}
		pic.apply("IDLE", []string{line})
	}
	pic.p.send("DONE\r\n")
	lines, answer := pic.p.until(tag)
	require.True(pic.t, strings.HasPrefix(answer, "OK "), answer)
	pic.apply("IDLE", lines)
}
