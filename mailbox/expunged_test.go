package mailbox

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The newest runs of expunged UIDs are remembered, each entry whole or not at all.
func TestVanishedIsBounded(t *testing.T) {
	m := &Mailbox{}
	for at := ModSeq(1); at <= 50; at++ {
		var uids uidSet
		for i := range UID(100) {
			uids.add(UID(at)*1000 + 2*i)
		}
		m.remember(at, uids)
		require.LessOrEqual(t, len(m.vanished), maxVanished)
		require.Zero(t, len(m.vanished)%100)
		for _, v := range m.vanished {
			require.Greater(t, v.at, m.forgotten)
		}
	}
	require.Equal(t, ModSeq(40), m.forgotten)
	require.Len(t, m.vanished, 1000)
	var huge uidSet
	for i := range UID(maxVanished + 1) {
		huge.add(1_000_000 + 2*i)
	}
	m.remember(51, huge)
	require.Empty(t, m.vanished)
	require.Equal(t, ModSeq(51), m.forgotten)
}
