package mailbox

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// objects returns the names of the objects of an account in a folder.
func objects(t testing.TB, blobs *memblob.Store, a *Account, folder string) (out []string) {
	t.Helper()
	for info, err := range blobs.List(t.Context(), a.account.prefix+folder+"/", "") {
		require.NoError(t, err)
		out = append(out, info.Name)
	}
	return out
}

// packsOf returns the packs of pages and those of metadata that any snapshot names.
func packsOf(t testing.TB, a *Account) (pages, metadata []string) {
	t.Helper()
	snaps, err := a.account.log.Snapshots(t.Context())
	require.NoError(t, err)
	for _, pos := range snaps {
		_, s, err := a.account.pages.ReadSnapshot(t.Context(), pos)
		require.NoError(t, err)
		for _, m := range s.Mailboxes {
			for _, r := range m.Pages {
				pages = append(pages, layout.PackName(a.account.prefix, r.Block.Pack))
			}
		}
		for _, seg := range s.Segments {
			metadata = append(metadata, layout.PackName(a.account.prefix, seg.Metadata.Pack))
		}
	}
	require.NotEmpty(t, pages)
	require.NotEmpty(t, metadata)
	return pages, metadata
}

// overwrite puts other bytes under a name.
func overwrite(t testing.TB, blobs *memblob.Store, name string, change func([]byte) []byte) {
	t.Helper()
	ctx := t.Context()
	b, err := layout.ReadAll(ctx, blobs, name, 1<<20)
	require.NoError(t, err)
	require.NoError(t, blobs.Delete(ctx, name))
	require.NoError(t, blobs.Create(ctx, name, bytes.NewReader(change(b))))
}

func flipLast(b []byte) []byte { b[len(b)-1] ^= 1; return b }

// A check says which messages are lost, in every mailbox that has them, and counts
// them; all others are not named. What a check says has no word of any mail.
func TestCheckSaysWhatIsLost(t *testing.T) {
	ctx := t.Context()
	blobs, clock := memblob.New(), newClock()
	s := openAt(t, blobs, clock)
	a := newUser(t, s, "ann")
	require.NoError(t, a.Create(ctx, "Sent"))
	for i := range 5 {
		add(t, a, i)
	}
	v := selectInbox(t, a)
	_, err := v.Copy(ctx, UIDs(2, 3), "Sent")
	require.NoError(t, err)
	require.NoError(t, snapshotNow(ctx, a.account))
	sent := a.account.state().ByName("Sent").ID
	damaged := layout.BodyName(a.account.prefix, rowOf(t, a, a.account.state().ByName(Inbox), 2).Body.ID)
	missing := layout.BodyName(a.account.prefix, rowOf(t, a, a.account.state().ByName(Inbox), 5).Body.ID)
	overwrite(t, blobs, damaged, flipLast)
	require.NoError(t, blobs.Delete(ctx, missing))
	lost := map[Loss]bool{}
	before := names(t, blobs)
	rep, err := a.Check(ctx, func(p Problem) {
		require.NotNil(t, p.Lost, "%v", p)
		require.NotContains(t, p.String(), "mail 1")
		lost[*p.Lost] = true
	})
	require.NoError(t, err)
	require.Equal(t, map[Loss]bool{
		{1, 2, 2, 1, LostBody}: true, {1, 5, 5, 1, LostBody}: true, {sent, 1, 1, 1, LostBody}: true,
	}, lost)
	require.Equal(t, 7, rep.Messages)
	require.Equal(t, 3, rep.Lost)
	require.Equal(t, before, names(t, blobs), "a check never writes")

	s.cache.Forget(a.account.id)
	pages, metadata := packsOf(t, a)
	require.NoError(t, blobs.Delete(ctx, metadata...))
	headers := 0
	rep, err = a.Check(ctx, func(p Problem) {
		if p.Lost != nil && p.Lost.Part == LostHeader {
			headers++
		}
	})
	require.NoError(t, err)
	require.Equal(t, 7, headers)
	require.Equal(t, 3, rep.Lost, "a header can be found in the body again")
	require.NoError(t, blobs.Delete(ctx, pages...))
	s.cache.Forget(a.account.id)
	rep, err = a.Check(ctx, func(Problem) {})
	require.NoError(t, err)
	require.Equal(t, 7, rep.Lost)
}

// A check finds a store that was set back to an older copy, if it is told how far
// the newer one went, also when no process saw that.
func TestCheckComparesWithSavedHeads(t *testing.T) {
	ctx := t.Context()
	blobs, clock := memblob.New(), newClock()
	s := openAt(t, blobs, clock)
	a := newUser(t, s, "ann")
	newUser(t, s, "bob")
	add(t, a, 1)
	old := blobs.Clone()
	add(t, a, 2)
	rep, err := s.Check(ctx, func(p Problem) { t.Error(p) })
	require.NoError(t, err)
	var file bytes.Buffer
	_, err = rep.Heads.WriteTo(&file)
	require.NoError(t, err)
	heads, err := ReadHeads(&file)
	require.NoError(t, err)
	require.Equal(t, rep.Heads, heads)
	require.Len(t, heads, 2)
	rolledBack := func(blobs *memblob.Store, heads Heads) (n int) {
		_, err := openAt(t, blobs, clock).CheckSeen(ctx, heads, func(p Problem) {
			require.ErrorIs(t, p.Err, eventlog.ErrRolledBack)
			n++
		})
		require.NoError(t, err)
		return n
	}
	require.Zero(t, rolledBack(blobs.Clone(), heads))
	require.Equal(t, 1, rolledBack(old, heads))
	require.Zero(t, rolledBack(old, nil), "nobody could know")
	add(t, a, 3)
	require.Zero(t, rolledBack(blobs.Clone(), heads))
	require.Equal(t, 2, rolledBack(memblob.New(), heads))
	for _, bad := range []string{"x", "a b c", strings.Repeat("0", 32) + " 1 00", strings.Repeat("0", 32) + " 0 " + strings.Repeat("0", 64)} {
		_, err := ReadHeads(strings.NewReader(bad + "\n"))
		require.Error(t, err, bad)
	}
}

// An account whose log is damaged is checked up to there.
func TestCheckOfWhatCannotBeOpened(t *testing.T) {
	damages(t)
	ctx := t.Context()
	blobs, clock := memblob.New(), newClock()
	s := openAt(t, blobs, clock)
	a := newUser(t, s, "ann")
	for i := range 5 {
		add(t, a, i)
	}
	overwrite(t, blobs, objects(t, blobs, a, "log")[4], flipLast) // the fourth mail's
	other := openAt(t, blobs.Clone(), clock)
	_, err := other.Login(ctx, "ann", []byte("secret of ann"))
	require.ErrorIs(t, err, eventlog.ErrCorrupt)
	_, err = other.CheckLogin(ctx, "ann", []byte("wrong"), nil)
	require.ErrorIs(t, err, ErrAuth)
	var found []Problem
	rep, err := other.CheckLogin(ctx, "ann", []byte("secret of ann"), func(p Problem) { found = append(found, p) })
	require.NoError(t, err)
	require.Equal(t, 3, rep.Messages)
	require.ErrorContains(t, found[0].Err, "up to entry 4")
	rep, err = other.CheckIdentity(ctx, "ann", a.account.identity, func(Problem) {})
	require.NoError(t, err)
	require.Equal(t, 3, rep.Messages)
}

// What can be made from other objects is repaired, and nothing else is touched.
func TestRepair(t *testing.T) {
	ctx := t.Context()
	base, clock := memblob.New(), newClock()
	first := openAt(t, base, clock)
	a := newUser(t, first, "ann")
	recovery, err := a.Recovery()
	require.NoError(t, err)
	for i := range 6 {
		add(t, a, i)
	}
	require.NoError(t, snapshotNow(ctx, a.account))
	flagAll(t, selectInbox(t, a), UIDs(2), FlagsAdd, false, FlagSeen)
	require.NoError(t, snapshotNow(ctx, a.account))
	flagAll(t, selectInbox(t, a), UIDs(3), FlagsAdd, false, FlagSeen)
	want := content(t, a)
	snaps := objects(t, base, a, "snap")
	require.Len(t, snaps, 2)
	pages, metadata := packsOf(t, a)
	for name, c := range map[string]struct {
		damage  func(*memblob.Store)
		rebuilt bool
		removed int
	}{
		"nothing":    {func(*memblob.Store) {}, false, 0},
		"the newest": {func(b *memblob.Store) { overwrite(t, b, snaps[1], flipLast) }, true, 1},
		"the older":  {func(b *memblob.Store) { overwrite(t, b, snaps[0], flipLast) }, false, 1},
		"both":       {func(b *memblob.Store) { overwrite(t, b, snaps[0], flipLast); overwrite(t, b, snaps[1], flipLast) }, true, 2},
		"pages":      {func(b *memblob.Store) { require.NoError(t, b.Delete(ctx, pages...)) }, true, 2},
		"metadata":   {func(b *memblob.Store) { require.NoError(t, b.Delete(ctx, metadata...)) }, true, 2},
		"all of a snapshot's": {func(b *memblob.Store) {
			require.NoError(t, b.Delete(ctx, slices.Concat(pages, metadata, snaps)...))
		}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			blobs := base.Clone()
			c.damage(blobs)
			s := openAt(t, blobs, clock)
			b := openWith(t, s, "ann", recovery)
			rep, err := b.Repair(ctx)
			require.NoError(t, err)
			require.Equal(t, c.rebuilt, rep.Rebuilt)
			require.Equal(t, c.removed, rep.Removed)
			require.Equal(t, want, content(t, b))
			sound(t, s, b)
			fresh := openAt(t, blobs, clock)
			again := openWith(t, fresh, "ann", recovery)
			require.Equal(t, want, content(t, again))
			for range 3 {
				clock.advance(25 * time.Hour)
				collect(t, again)
			}
			require.Equal(t, want, content(t, again))
			sound(t, fresh, again)
		})
	}
	// After the beginning was trimmed, nothing can stand in for all snapshots.
	blobs := base.Clone()
	s := openAt(t, blobs, clock)
	b := openWith(t, s, "ann", recovery)
	for range 2 {
		clock.advance(25 * time.Hour)
		add(t, b, 9)
		require.NoError(t, snapshotNow(ctx, b.account))
	}
	require.Less(t, len(objects(t, blobs, a, "log")), 6, "trimmed")
	pages, _ = packsOf(t, b)
	require.NoError(t, blobs.Delete(ctx, pages...))
	s.cache.Forget(b.account.id)
	before := names(t, blobs)
	_, err = b.Repair(ctx)
	require.ErrorIs(t, err, ErrNotRepairable)
	require.Equal(t, before, names(t, blobs))
}
