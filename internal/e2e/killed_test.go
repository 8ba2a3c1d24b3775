package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// killsEnv says how often TestKilledOften kills. The default is for every run of
// the tests; .ci/run asks for more.
const (
	killsEnv     = "LETTERLOCK_KILLS"
	defaultKills = 5
)

// answered is what clients know of their messages: one of several things is so, if
// the server went away before it answered.
type answered struct {
	mu  sync.Mutex // protects what follows
	may map[string][]string
	ok  int // answers
}

func (a *answered) set(id string, may ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.may[id] = may
}

// done notes an answer.
func (a *answered) done(id, is string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.may[id] = []string{is}
	a.ok++
}

func (a *answered) answers() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ok
}

// Where a message is, and its flags.
const (
	gone    = "gone"
	inInbox = "INBOX []"
	flagged = `INBOX [$work \Flagged]`
	moved   = `Done [$work \Flagged]`
	marked  = `Done [$work \Deleted \Flagged]`
)

// A server is killed at any moment while mail comes in by LMTP and is appended,
// flagged, moved and expunged by IMAP, and started again, many times. No 250 and
// no tagged OK is forgotten, nothing is half there, and the next start needs no
// repair.
func TestKilledOften(t *testing.T) {
	t.Parallel()
	kills := defaultKills
	if text := os.Getenv(killsEnv); text != "" {
		var err error
		kills, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	dir := newStore(t)
	token := strings.TrimSpace(must(t, password+"\n", "account", "token", "add", "ann", "-store", dir))
	a := &answered{may: map[string][]string{}}
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	began := time.Now()
	for n := range kills {
		s := start(t, dir)
		if n == 0 {
			require.NoError(t, login(t, s.imap, token).Create("Done", nil).Wait())
		}
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		for i := range 2 {
			work.Go(func() { a.deliverUntilEnd(ctx, s.lmtp, fmt.Sprintf("lmtp-%d-%d", n, i)) })
			work.Go(func() { a.changeUntilEnd(s.imap, token, fmt.Sprintf("imap-%d-%d", n, i)) })
		}
		// At any moment: after a number of answers, and a part of what the next
		// takes.
		until := a.answers() + 2 + rnd.IntN(25)
		eventually(t, "the server answers", func() bool { return a.answers() >= until })
		time.Sleep(rand.N(3 * time.Millisecond))
		s.kill(t)
		cancel()
		work.Wait()
		if n%20 == 19 || n == kills-1 {
			a.compare(t, dir, token)
		}
		if t.Failed() {
			t.Fatalf("after %d kills", n+1)
		}
	}
	t.Logf("%d kills in %v, %d messages, %d answers", kills, time.Since(began).Round(time.Second), len(a.may), a.ok)
	checked(t, dir)
}

// login connects and logs in with a token, which costs the server nothing.
func login(t testing.TB, address, token string) *imapclient.Client {
	t.Helper()
	c, err := imapclient.DialInsecure(address, nil)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.Login("ann", token).Wait())
	return c
}

func (a *answered) deliverUntilEnd(ctx context.Context, address, tag string) {
	c, err := dialLMTP(ctx, address)
	if err != nil {
		return
	}
	defer c.Close()
	for n := 1; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("%s-%d", tag, n)
		a.set(id, gone, inInbox)
		// Some are long, so that the end comes also in the middle of one.
		text := append(mail(id), strings.Repeat("and so on\r\n", n%5*8000)...)
		if _, err := deliver(c, text, "ann@example.org"); err != nil {
			return
		}
		a.done(id, inInbox)
	}
}

// changeUntilEnd appends messages, flags each, moves it and expunges every other.
func (a *answered) changeUntilEnd(address, token, tag string) {
	c, err := imapclient.DialInsecure(address, nil)
	if err != nil {
		return
	}
	defer c.Close()
	if c.Login("ann", token).Wait() != nil {
		return
	}
	for n := 1; ; n++ {
		id := fmt.Sprintf("%s-%d", tag, n)
		if a.change(c, id, n%2 == 0) != nil {
			return
		}
	}
}

func (a *answered) change(c *imapclient.Client, id string, expunge bool) error {
	a.set(id, gone, inInbox)
	uid, _, err := appendMail(c, "INBOX", mail(id))
	if err != nil {
		return err
	}
	a.done(id, inInbox)
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		return err
	}
	store := func(uid imap.UID, flags ...imap.Flag) error {
		return c.Store(imap.UIDSetNum(uid), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: flags, Silent: true}, nil).Close()
	}
	a.set(id, inInbox, flagged)
	if err := store(uid, imap.FlagFlagged, "$work"); err != nil {
		return err
	}
	a.done(id, flagged)
	a.set(id, flagged, moved)
	data, err := c.Move(imap.UIDSetNum(uid), "Done").Wait()
	if err != nil {
		return err
	}
	a.done(id, moved)
	if !expunge {
		return nil
	}
	dest, _ := data.DestUIDs.(imap.UIDSet)
	nums, _ := dest.Nums()
	if _, err := c.Select("Done", nil).Wait(); err != nil || len(nums) != 1 {
		return fmt.Errorf("moved to %v: %w", dest, err)
	}
	a.set(id, moved, marked)
	if err := store(nums[0], imap.FlagDeleted); err != nil {
		return err
	}
	a.done(id, marked)
	a.set(id, marked, gone)
	if err := c.UIDExpunge(imap.UIDSetNum(nums[0])).Close(); err != nil {
		return err
	}
	a.done(id, gone)
	return nil
}

// compare starts a server and asserts that it has what was answered.
func (a *answered) compare(t *testing.T, dir, token string) {
	t.Helper()
	s := start(t, dir)
	c := login(t, s.imap, token)
	is := map[string]string{}
	for _, mailbox := range []string{"INBOX", "Done"} {
		mails, _ := list(t, c, mailbox)
		for i, m := range mails {
			if i > 0 {
				assert.Greater(t, m.UID, mails[i-1].UID)
			}
			assert.NotContains(t, is, m.ID, "it is there twice")
			flags := lasting(m.Flags)
			slices.Sort(flags)
			is[m.ID] = fmt.Sprintf("%s %v", mailbox, flags)
		}
	}
	for id, may := range a.may {
		if is[id] == "" {
			is[id] = gone
		}
		assert.Contains(t, may, is[id], id)
		a.may[id] = []string{is[id]} // and so it stays
		delete(is, id)
	}
	assert.Empty(t, is, "nobody sent these")
	s.stop(t)
}
