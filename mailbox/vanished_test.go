package mailbox

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// vanishedIn returns the UIDs that the view says are gone.
func vanishedIn(t *testing.T, v *View, since ModSeq, set Set, known Known) []UID {
	t.Helper()
	ranges, err := v.Vanished(t.Context(), since, set, known)
	require.NoError(t, err)
	out := []UID{}
	for _, r := range ranges {
		for u := r.First; u <= r.Last; u++ {
			out = append(out, UID(u))
		}
	}
	return out
}

func expungeUIDs(t *testing.T, v *View, uids ...UID) {
	t.Helper()
	flagAll(t, v, UIDs(uids...), FlagsAdd, true, FlagDeleted)
	_, err := v.Expunge(t.Context(), nil)
	require.NoError(t, err)
}

func TestVanished(t *testing.T) {
	v := selectInbox(t, inboxOf(t, 20))
	start := v.HighestModSeq()
	expungeUIDs(t, v, 3, 4, 5, 9)
	syncView(t, v, false)
	middle := v.HighestModSeq()
	expungeUIDs(t, v, 1, 20)

	none := Known{}
	assert.Equal(t, []UID{3, 4, 5, 9}, vanishedIn(t, v, start, All(), none), "what was not shown is not gone")
	syncView(t, v, true)
	assert.Equal(t, []UID{3, 4, 5, 9}, vanishedIn(t, v, start, All(), none), "nor what is held back")
	syncView(t, v, false)
	assert.Equal(t, []UID{1, 3, 4, 5, 9, 20}, vanishedIn(t, v, start, All(), none))
	assert.Equal(t, []UID{1, 20}, vanishedIn(t, v, middle, All(), none))
	assert.Empty(t, vanishedIn(t, v, v.HighestModSeq(), All(), none))
	assert.Empty(t, vanishedIn(t, v, 1<<62, All(), none))
	assert.Equal(t, []UID{4, 5}, vanishedIn(t, v, start, Set{Ranges: []Range{{8, 4}}, UID: true}, none))
	assert.Equal(t, []UID{20}, vanishedIn(t, v, start, Set{Ranges: []Range{{19, Star}}, UID: true}, none))
	assert.Empty(t, vanishedIn(t, v, start, Set{Ranges: []Range{{21, 4000000000}}, UID: true}, none), "never given out")
}

// TestVanishedForgotten asks for a time of which the expunges are no longer all
// remembered: what is not there counts as gone, less what is proven to have been
// gone before.
func TestVanishedForgotten(t *testing.T) {
	const n = 3 * state.MaxVanished
	v := selectInbox(t, inboxOf(t, n))
	start := v.HighestModSeq()
	expungeUIDs(t, v, 2)
	syncView(t, v, false)
	second := v.HighestModSeq()
	var odd []UID // each a run of its own: the first expunge is forgotten
	for u := UID(101); u < 101+2*(state.MaxVanished+10); u += 2 {
		odd = append(odd, u)
	}
	expungeUIDs(t, v, odd[:len(odd)/2]...)
	expungeUIDs(t, v, odd[len(odd)/2:]...)
	syncView(t, v, false)

	want := append([]UID{2}, odd...)
	assert.Equal(t, want, vanishedIn(t, v, start, All(), Known{}))
	assert.Equal(t, want, vanishedIn(t, v, second, All(), Known{}), "2 too: nobody knows when it went")
	assert.Equal(t, []UID{101, 103}, vanishedIn(t, v, start, Set{Ranges: []Range{{50, 104}}, UID: true}, Known{}))
	// The client saw 90 as the 89th message: 2 was gone then.
	known := Known{Seqs: []uint32{1, 60, 89, 300}, UIDs: []UID{1, 61, 90, 301}}
	assert.Equal(t, odd, vanishedIn(t, v, second, All(), known))
	// It saw all before 90 there: 2 has gone since.
	known = Known{Seqs: []uint32{1, 61, 90}, UIDs: []UID{1, 61, 90}}
	assert.Equal(t, want, vanishedIn(t, v, start, All(), known))
	assert.Equal(t, want, vanishedIn(t, v, start, All(), Known{Seqs: []uint32{5}, UIDs: []UID{1}}), "nonsense proves nothing")
}

// TestMessagesSince yields what changed, and reads no other page.
func TestMessagesSince(t *testing.T) {
	v := selectInbox(t, inboxOf(t, 3*state.PageRows))
	since := v.HighestModSeq()
	flagAll(t, v, UIDs(5, state.PageRows+7), FlagsAdd, true, FlagSeen)
	syncView(t, v, false)
	var got []UID
	for m, err := range v.MessagesSince(t.Context(), All(), since) {
		require.NoError(t, err)
		assert.Equal(t, v.HighestModSeq(), m.ModSeq)
		assert.Equal(t, int(m.UID)-1, m.Index)
		got = append(got, m.UID)
	}
	assert.Equal(t, []UID{5, state.PageRows + 7}, got)
}

// TestSilentChangesAreKnown tells a session of its own silent changes only that
// they have a new MODSEQ.
func TestSilentChangesAreKnown(t *testing.T) {
	a := inboxOf(t, 4)
	v, other := selectInbox(t, a), selectInbox(t, a)
	flagAll(t, v, UIDs(1, 2), FlagsAdd, true, FlagSeen)
	flagAll(t, other, UIDs(2, 3), FlagsAdd, true, FlagFlagged)
	c := syncView(t, v, false)
	uids := func(list []*Message) (out []UID) {
		for _, m := range list {
			out = append(out, m.UID)
		}
		return out
	}
	assert.Equal(t, []UID{2, 3}, uids(c.Updated))
	assert.Equal(t, []UID{1}, uids(c.Silenced))
}

// TestWatchFunc calls in place of signalling.
func TestWatchFunc(t *testing.T) {
	a := inboxOf(t, 1)
	called := make(chan struct{}, 10)
	w := a.WatchFunc(func() { called <- struct{}{} })
	fill(t, a, 1)
	<-called
	w.Close()
	for len(called) > 0 {
		<-called
	}
	require.NoError(t, a.Subscribe(t.Context(), "x", true))
	assert.Empty(t, called, "after Close")
}
