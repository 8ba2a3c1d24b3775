package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The disaster: mail comes in, a backup is taken, more mail comes in, and then the
// server dies and its disk with it. After a restore all that was acknowledged
// before the backup is there, in a mailbox that clients know to be another one.
func TestStoreIsLost(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	copied := filepath.Join(filepath.Dir(dir), "copy")
	s := start(t, dir)
	l := &load{tag: "lost"}
	l.begin(t.Context(), s.lmtp)
	eventually(t, "the load runs", func() bool { return l.taken.Load() >= 20 })
	must(t, "", "backup", "-store", dir, "-to", copied) // the first takes everything
	l.mu.Lock()
	acknowledged := map[string]bool{}
	for id, taken := range l.sent {
		if taken {
			acknowledged[id] = true
		}
	}
	l.mu.Unlock()
	must(t, "", "backup", "-store", dir, "-to", copied, "-verify")
	more := l.taken.Load() + 10
	eventually(t, "mail comes in that the backup has not", func() bool { return l.taken.Load() >= more })
	before, validity := list(t, dial(t, s.imap, nil), "INBOX")
	s.kill(t)
	l.work.Wait()
	require.NoError(t, os.RemoveAll(dir))

	must(t, "", "restore", "-from", copied, "-store", dir)
	s = start(t, dir)
	// Mail comes in before anybody logs in.
	must(t, "Message-ID: <after@example.org>\n\nx\n", "deliver", "ann", "-lmtp", s.lmtp)
	after, restored := list(t, dial(t, s.imap, nil), "INBOX")
	assert.Greater(t, restored, validity)
	there := map[string]bool{}
	for _, m := range after {
		require.False(t, there[m.ID], "%s is there twice", m.ID)
		there[m.ID] = true
	}
	for id := range acknowledged {
		assert.True(t, there[id], "%s was acknowledged before the backup", id)
	}
	assert.True(t, there["after"])
	// The backup is a prefix of what was: the same mails under the same UIDs.
	for i, m := range after[:len(after)-1] {
		assert.Equal(t, before[i].ID, m.ID)
		assert.Equal(t, before[i].UID, m.UID)
	}
	s.stop(t)
	checked(t, dir)
	key, err := os.ReadFile(dir + ".serverkey") // which is in no copy
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(copied+".serverkey", key, 0o600))
	checked(t, copied)
}
