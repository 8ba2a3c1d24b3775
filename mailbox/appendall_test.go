package mailbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
)

// Several Appenders share an entry, in order; one that is refused keeps none of the
// others.
func TestCommitAll(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openStore(t, blobs)
	a := newUser(t, s, "ann")
	require.NoError(t, a.Create(ctx, "Archive"))
	staged := func(n int, mailbox string, flags ...string) *Appender {
		p, err := a.NewAppender(ctx, mailbox)
		require.NoError(t, err)
		require.NoError(t, p.Add(ctx, strings.NewReader(mail(n)), AppendOptions{Flags: flags}))
		return p
	}
	_, before := a.account.committer.State()
	got := CommitAll(ctx, []*Appender{staged(1, Inbox), staged(2, Inbox), staged(3, Inbox), staged(4, "Archive")})
	_, after := a.account.committer.State()
	require.EqualValues(t, 2, after.Pos-before.Pos, "an entry for each mailbox")
	for i, c := range got {
		require.NoError(t, c.Err)
		require.Len(t, c.Appended, 1)
		require.EqualValues(t, []UID{1, 2, 3, 1}[i], c.Appended[0].UID)
	}

	// The keywords of the mailbox are used up by the second.
	var many []string
	for i := range MaxKeywords {
		many = append(many, fmt.Sprint("word", i))
	}
	objects := len(names(t, blobs))
	got = CommitAll(ctx, []*Appender{staged(4, Inbox), staged(5, Inbox, many...), staged(6, Inbox, "one-too-many"), staged(7, Inbox)})
	for i, c := range got {
		if i == 2 {
			require.ErrorIs(t, c.Err, ErrTooManyKeywords)
			continue
		}
		require.NoError(t, c.Err)
	}
	require.EqualValues(t, 6, got[3].Appended[0].UID)
	require.Len(t, names(t, blobs), objects+3+3, "three bodies and three entries; that of the refused one is gone")
	require.Empty(t, CommitAll(ctx, nil))
}

// If the outcome is not known, it is for all that share the entry, and the bodies
// stay.
func TestCommitAllUnknown(t *testing.T) {
	ctx := t.Context()
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	s := openStore(t, faulty)
	a := newUser(t, s, "ann")
	var all []*Appender
	for n := range 3 {
		p, err := a.NewAppender(ctx, Inbox)
		require.NoError(t, err)
		require.NoError(t, p.Add(ctx, strings.NewReader(mail(n)), AppendOptions{}))
		all = append(all, p)
	}
	trouble := errors.New("trouble")
	faulty.SetPlan(func(op blobtest.Op, name string, _ int) blobtest.Fault {
		if op == blobtest.OpCreate && strings.Contains(name, "/log/") {
			return blobtest.Fault{After: trouble}
		}
		if op == blobtest.OpOpen && strings.Contains(name, "/log/") {
			return blobtest.Fault{Before: trouble}
		}
		return blobtest.Fault{}
	})
	for _, c := range CommitAll(ctx, all) {
		require.ErrorIs(t, c.Err, trouble)
	}
	faulty.SetPlan(nil)
	v := selectInbox(t, a)
	require.Equal(t, 3, v.Len(), "it was committed after all")
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		r, err := m.Open(ctx, 0, -1)
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}
}
