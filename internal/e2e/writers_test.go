package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// written is what the servers acknowledged.
type written struct {
	mu       sync.Mutex
	inbox    map[string]bool // by ID, must be in INBOX; true: and flagged
	done     map[string]bool // by ID, must be in Done
	uids     map[string]string
	validity map[string]uint32
	errs     []error
}

func (w *written) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs = append(w.errs, fmt.Errorf(format, args...))
}

// place notes that a message has a UID, which nobody else may have.
func (w *written) place(mailbox string, validity uint32, uid imap.UID, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := fmt.Sprintf("%s/%d", mailbox, uid)
	if other := w.uids[key]; other != "" {
		w.errs = append(w.errs, fmt.Errorf("%s was given to %s and to %s", key, other, id))
	}
	w.uids[key] = id
	if was := w.validity[mailbox]; was != 0 && was != validity {
		w.errs = append(w.errs, fmt.Errorf("UIDVALIDITY of %s moved from %d to %d", mailbox, was, validity))
	}
	w.validity[mailbox] = validity
}

func (w *written) in(mailbox, id string, flagged bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if mailbox == "Done" {
		delete(w.inbox, id)
		w.done[id] = flagged
	} else {
		w.inbox[id] = flagged
	}
}

// Two servers and a third that only takes mail in work on one account of one
// folder. Every acknowledged change is there once, whoever made it.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	one, two, in := start(t, dir, "-lmtp", ""), start(t, dir, "-lmtp", ""), start(t, dir, "-imap", "")
	w := &written{inbox: map[string]bool{}, done: map[string]bool{}, uids: map[string]string{}, validity: map[string]uint32{}}
	require.NoError(t, dial(t, one.imap, nil).Create("Done", nil).Wait())

	ctx, cancel := context.WithTimeout(t.Context(), writersFor)
	defer cancel()
	var work sync.WaitGroup
	for i, s := range []*server{one, two, one, two} {
		c := dial(t, s.imap, nil)
		work.Go(func() { w.change(ctx, c, fmt.Sprintf("imap-%d", i)) })
	}
	for i := range 2 {
		work.Go(func() { w.deliver(ctx, in.lmtp, fmt.Sprintf("lmtp-%d", i)) })
	}
	watchers := []*watcher{newWatcher(t, one.imap), newWatcher(t, two.imap)}
	for _, v := range watchers {
		work.Go(func() { v.watch(ctx, w) })
	}
	work.Wait()
	for _, err := range w.errs {
		assert.NoError(t, err)
	}
	t.Logf("acknowledged in %v: %d messages, %d of them moved", writersFor, len(w.inbox)+len(w.done), len(w.done))
	require.Greater(t, len(w.inbox)+len(w.done), 50, "there was next to nothing to do")

	w.compare(t, one, two)
	fresh, _ := list(t, dial(t, two.imap, nil), "INBOX")
	for _, v := range watchers {
		v.compare(t, fresh)
	}
	for _, s := range []*server{one, two, in} {
		s.stop(t)
	}
	checked(t, dir)
}

// change appends messages, flags each second and moves each third.
func (w *written) change(ctx context.Context, c *imapclient.Client, tag string) {
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		w.fail("%s: select: %w", tag, err)
		return
	}
	for n := 1; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("%s-%d", tag, n)
		uid, validity, err := appendMail(c, "INBOX", mail(id))
		if err != nil {
			w.fail("%s: append: %w", id, err)
			return
		}
		w.place("INBOX", validity, uid, id)
		w.in("INBOX", id, false)
		// A client may name a message once it was told of it.
		if err := c.Noop().Wait(); err != nil {
			w.fail("%s: noop: %w", id, err)
			return
		}
		if n%2 == 0 {
			flags := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagFlagged, "$work"}}
			if err := c.Store(imap.UIDSetNum(uid), flags, nil).Close(); err != nil {
				w.fail("%s: store: %w", id, err)
				return
			}
			w.in("INBOX", id, true)
		}
		if n%3 == 0 {
			data, err := c.Move(imap.UIDSetNum(uid), "Done").Wait()
			if err != nil {
				w.fail("%s: move: %w", id, err)
				return
			}
			dest, ok := data.DestUIDs.(imap.UIDSet)
			if nums, static := dest.Nums(); !ok || !static || len(nums) != 1 {
				w.fail("%s: moved to %v", id, data.DestUIDs)
			} else {
				w.place("Done", data.UIDValidity, nums[0], id)
			}
			w.in("Done", id, n%2 == 0)
		}
	}
}

// deliver delivers one mail after the other.
func (w *written) deliver(ctx context.Context, address, tag string) {
	c, err := dialLMTP(ctx, address)
	if err != nil {
		w.fail("%s: %w", tag, err)
		return
	}
	defer c.Close()
	for n := 1; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("%s-%d", tag, n)
		if _, err := deliver(c, mail(id), "ann@example.org"); err != nil {
			w.fail("%s: %w", id, err)
			return
		}
		w.in("INBOX", id, false)
	}
}

// compare asserts that both servers show what was acknowledged, each message
// once, and the same.
func (w *written) compare(t *testing.T, servers ...*server) {
	t.Helper()
	for mailbox, want := range map[string]map[string]bool{"INBOX": w.inbox, "Done": w.done} {
		var first []seen
		for i, s := range servers {
			got, validity := list(t, dial(t, s.imap, nil), mailbox)
			assert.Equal(t, w.validity[mailbox], validity)
			for j := range got {
				got[j].Flags = lasting(got[j].Flags)
			}
			if i == 0 {
				first = got
				w.same(t, mailbox, want, got)
			}
			assert.Equal(t, first, got, "server %d shows another %s", i, mailbox)
		}
	}
}

// same asserts that a mailbox has the messages that it must have.
func (w *written) same(t *testing.T, mailbox string, want map[string]bool, got []seen) {
	t.Helper()
	ids := map[string]bool{}
	for i, m := range got {
		flagged, known := want[m.ID]
		assert.True(t, known, "%s should not be in %s", m.ID, mailbox)
		assert.False(t, ids[m.ID], "%s is twice in %s", m.ID, mailbox)
		ids[m.ID] = true
		if flagged {
			assert.ElementsMatch(t, []imap.Flag{imap.FlagFlagged, "$work"}, m.Flags, m.ID)
		} else {
			assert.Empty(t, m.Flags, m.ID)
		}
		if id := w.uids[fmt.Sprintf("%s/%d", mailbox, m.UID)]; id != "" {
			assert.Equal(t, id, m.ID, "UID %d of %s", m.UID, mailbox)
		}
		if i > 0 {
			assert.Greater(t, m.UID, got[i-1].UID)
		}
	}
	assert.Len(t, ids, len(want), mailbox)
}

// lasting leaves out \Recent, which is a session's.
func lasting(flags []imap.Flag) []imap.Flag {
	var out []imap.Flag
	for _, f := range flags {
		if f != `\Recent` {
			out = append(out, f)
		}
	}
	return out
}

// watcher is a session that only looks, and believes what it is told.
type watcher struct {
	c       *imapclient.Client
	mu      sync.Mutex // protects count
	count   uint32
	known   map[imap.UID]bool
	highest imap.UID
}

func newWatcher(t *testing.T, address string) *watcher {
	v := &watcher{known: map[imap.UID]bool{}}
	v.c = dial(t, address, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Expunge: func(uint32) { v.add(-1) },
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				v.mu.Lock()
				defer v.mu.Unlock()
				v.count = *d.NumMessages
			}
		},
	}})
	sel, err := v.c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
	require.NoError(t, err)
	v.count = sel.NumMessages
	return v
}

func (v *watcher) add(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.count = uint32(int(v.count) + n)
}

// watch asserts that new messages have higher UIDs than any seen before: a
// client that asks only for those misses nothing.
func (v *watcher) watch(ctx context.Context, w *written) {
	for ctx.Err() == nil {
		if err := v.c.Noop().Wait(); err != nil {
			w.fail("watch: %w", err)
			return
		}
		if _, err := v.look(); err != nil {
			w.fail("watch: %w", err)
			return
		}
		select {
		case <-time.After(50 * time.Millisecond): // a client that asks often
		case <-ctx.Done():
		}
	}
}

// look asks for all UIDs and compares them with what was seen before. It returns
// them.
func (v *watcher) look() ([]imap.UID, error) {
	v.mu.Lock()
	count := v.count
	v.mu.Unlock()
	if count == 0 {
		return nil, nil
	}
	set := imap.SeqSet{}
	set.AddRange(1, count)
	msgs, err := v.c.Fetch(set, &imap.FetchOptions{UID: true}).Collect()
	if err != nil {
		return nil, err
	}
	var uids []imap.UID
	for _, m := range msgs {
		if n := len(uids); n > 0 && m.UID <= uids[n-1] {
			return nil, fmt.Errorf("UID %d comes after %d", m.UID, uids[n-1])
		}
		if !v.known[m.UID] && m.UID <= v.highest {
			return nil, fmt.Errorf("UID %d appears after %d was seen", m.UID, v.highest)
		}
		uids = append(uids, m.UID)
	}
	for _, uid := range uids {
		v.known[uid] = true
		v.highest = max(v.highest, uid)
	}
	return uids, nil
}

// compare asserts that the session ends with the picture that a new one has.
func (v *watcher) compare(t *testing.T, fresh []seen) {
	t.Helper()
	require.NoError(t, v.c.Noop().Wait())
	uids, err := v.look()
	require.NoError(t, err)
	var want []imap.UID
	for _, m := range fresh {
		want = append(want, m.UID)
	}
	assert.Equal(t, want, uids)
}
