package state

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The newest runs of expunged UIDs are remembered, each entry whole or not at all.
func TestVanishedIsBounded(t *testing.T) {
	m := &Mailbox{}
	for at := ModSeq(1); at <= 50; at++ {
		var uids UIDSet
		for i := range UID(100) {
			uids.Add(UID(at)*1000 + 2*i)
		}
		m.remember(at, uids)
		require.LessOrEqual(t, len(m.Vanished), MaxVanished)
		require.Zero(t, len(m.Vanished)%100)
		for _, v := range m.Vanished {
			require.Greater(t, v.At, m.Forgotten)
		}
	}
	require.Equal(t, ModSeq(40), m.Forgotten)
	require.Len(t, m.Vanished, 1000)
	var huge UIDSet
	for i := range UID(MaxVanished + 1) {
		huge.Add(1_000_000 + 2*i)
	}
	m.remember(51, huge)
	require.Empty(t, m.Vanished)
	require.Equal(t, ModSeq(51), m.Forgotten)
}
