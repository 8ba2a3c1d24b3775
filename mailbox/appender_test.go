package mailbox

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Several messages are one entry, all or none, with UIDs in their order.
func TestAppender(t *testing.T) {
	ctx := t.Context()
	count := blobtest.NewCounting(memblob.New(), kindOf)
	s := openStore(t, count)
	s.opts.PollInterval = -1
	a := newUser(t, s, "ann")
	bodies := func() int { return len(accountObjects(t, count, a.account.prefix+"body/")) }

	p, err := a.NewAppender(ctx, Inbox)
	require.NoError(t, err)
	for i := range 3 {
		require.NoError(t, p.Add(ctx, strings.NewReader(mail(i)), AppendOptions{Flags: []string{FlagSeen, fmt.Sprint("$k", i)}}))
	}
	require.Zero(t, selectInbox(t, a).Len(), "nothing is there before the commit")
	count.Reset()
	done, err := p.Commit(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, count.All()[blobtest.Class{Op: blobtest.OpCreate, Name: "log"}].Calls)
	require.Equal(t, []UID{1, 2, 3}, []UID{done[0].UID, done[1].UID, done[2].UID})
	p.Abort(ctx) // does nothing
	v := selectInbox(t, a)
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		require.Equal(t, v.HighestModSeq(), m.ModSeq)
		require.Equal(t, []string{FlagSeen, fmt.Sprint("$k", m.Index)}, m.Flags())
		require.Equal(t, mail(m.Index), text(t, m))
	}
	_, err = p.Commit(ctx)
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, p.Add(ctx, strings.NewReader(""), AppendOptions{}), ErrClosed)

	// Given up: nothing stays, in the mailbox or in the store.
	p, err = a.NewAppender(ctx, Inbox)
	require.NoError(t, err)
	require.NoError(t, p.Add(ctx, strings.NewReader(mail(4)), AppendOptions{}))
	broken := errors.New("broken")
	require.ErrorIs(t, p.Add(ctx, iotest.ErrReader(broken), AppendOptions{}), broken)
	require.ErrorIs(t, p.Add(ctx, strings.NewReader(mail(5)), AppendOptions{Flags: []string{"not a flag"}}), ErrBadFlag)
	require.Equal(t, 4, bodies())
	p.Abort(ctx)
	require.Equal(t, 3, bodies())

	// Refused at the commit: as much.
	require.NoError(t, a.Create(ctx, "Gone"))
	p, err = a.NewAppender(ctx, "Gone")
	require.NoError(t, err)
	require.NoError(t, p.Add(ctx, strings.NewReader(mail(4)), AppendOptions{}))
	require.NoError(t, a.Delete(ctx, "Gone"))
	_, err = p.Commit(ctx)
	require.ErrorIs(t, err, ErrNoMailbox)
	require.Equal(t, 3, bodies())
	_, err = a.NewAppender(ctx, "Gone")
	require.ErrorIs(t, err, ErrNoMailbox)

	// Nothing at all.
	p, err = a.NewAppender(ctx, Inbox)
	require.NoError(t, err)
	done, err = p.Commit(ctx)
	require.NoError(t, err)
	require.Empty(t, done)
}

// What an Appender adds always fits an entry of the log.
func TestAppenderLimits(t *testing.T) {
	ctx := t.Context()
	a := newUser(t, openStore(t, memblob.New()), "ann")
	p, err := a.NewAppender(ctx, Inbox)
	require.NoError(t, err)
	p.staged = repeat(state.NewMessage{}, MaxAppend)
	require.ErrorIs(t, p.Add(ctx, strings.NewReader(mail(1)), AppendOptions{}), ErrTooManyMessages)

	p, err = a.NewAppender(ctx, Inbox)
	require.NoError(t, err)
	n := 0
	big := mail(1)
	for _, text := range worstMails() {
		if len(text) > len(big) {
			big = text
		}
	}
	for ; err == nil; n++ {
		err = p.Add(ctx, strings.NewReader(big), AppendOptions{})
	}
	require.ErrorIs(t, err, ErrTooManyMessages)
	require.Greater(t, n, 3)
	done, err := p.Commit(ctx)
	require.NoError(t, err)
	require.Len(t, done, n-1)
	require.Equal(t, n-1, selectInbox(t, a).Len())
}

// RFC 8508: a message takes the place of another, also in another mailbox, both or
// neither.
func TestReplace(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openStore(t, blobs)
	a := newUser(t, s, "ann")
	require.NoError(t, a.Create(ctx, "Sent"))
	for i := range 3 {
		_, err := a.Append(ctx, Inbox, strings.NewReader(mail(i+1)), AppendOptions{})
		require.NoError(t, err)
	}
	v := selectInbox(t, a)
	before := v.HighestModSeq()
	done, err := v.Replace(ctx, 2, "inbox", strings.NewReader(mail(9)), AppendOptions{Flags: []string{FlagDraft}})
	require.NoError(t, err)
	require.Equal(t, UID(4), done.UID)
	c, err := v.Sync(ctx, false)
	require.NoError(t, err)
	require.Equal(t, []Expunged{{1, 2}}, c.Expunged)
	require.Equal(t, 3, c.Exists)
	require.Equal(t, before+1, c.HighestModSeq, "one entry")

	done, err = v.Replace(ctx, 4, "Sent", strings.NewReader(mail(10)), AppendOptions{})
	require.NoError(t, err)
	require.Equal(t, UID(1), done.UID)
	sent, err := a.Select(ctx, "Sent", false)
	require.NoError(t, err)
	require.Equal(t, 1, sent.Len())

	// What another session took away, and what never was, is replaced by nothing.
	bodies := len(accountObjects(t, blobs, a.account.prefix+"body/"))
	for _, uid := range []UID{2, 4, 99} {
		_, err = v.Replace(ctx, uid, Inbox, strings.NewReader(mail(9)), AppendOptions{})
		require.ErrorIs(t, err, ErrNoMessage)
	}
	_, err = v.Replace(ctx, 1, "None", strings.NewReader(mail(9)), AppendOptions{})
	require.ErrorIs(t, err, ErrNoMailbox)
	reading, err := a.Select(ctx, Inbox, true)
	require.NoError(t, err)
	_, err = reading.Replace(ctx, 1, Inbox, strings.NewReader(mail(9)), AppendOptions{})
	require.ErrorIs(t, err, ErrReadOnly)
	require.Len(t, accountObjects(t, blobs, a.account.prefix+"body/"), bodies)
	require.Equal(t, 2, selectInbox(t, a).Len())

	// Another process reads the same.
	other := login(t, openStore(t, blobs), "ann")
	ov := selectInbox(t, other)
	for m, err := range ov.Messages(ctx, All()) {
		require.NoError(t, err)
		_, err = m.Meta(ctx)
		require.NoError(t, err)
	}
	require.Equal(t, 2, ov.Len())
	_, err = other.Check(ctx, func(p Problem) { require.True(t, p.Harmless, "%v", p) })
	require.NoError(t, err)
}

func text(t *testing.T, m *Message) string {
	t.Helper()
	r, err := m.Open(t.Context(), 0, -1)
	require.NoError(t, err)
	defer r.Close()
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}
