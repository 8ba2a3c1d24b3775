package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
)

// moving is message n of a source, with a UID that leaves gaps.
func moving(n int) ImportMessage {
	return ImportMessage{
		Origin: fmt.Sprint("old.example/INBOX/7/", n), UID: UID(3 * n), Flags: []string{FlagSeen, fmt.Sprint("k", n%3)},
		Date: time.Unix(int64(1_500_000_000+n), 0),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(mail(n))), nil },
	}
}

func movings(from, to int) []ImportMessage {
	var out []ImportMessage
	for n := from; n <= to; n++ {
		out = append(out, moving(n))
	}
	return out
}

func sequence(messages []ImportMessage) iter.Seq2[ImportMessage, error] {
	return func(yield func(ImportMessage, error) bool) {
		for _, m := range messages {
			if !yield(m, nil) {
				return
			}
		}
	}
}

func importAll(t testing.TB, a *Account, mailbox string, messages []ImportMessage, o ImportOptions) ImportResult {
	t.Helper()
	im, err := a.Importer(context.Background())
	require.NoError(t, err)
	res, err := im.Import(context.Background(), mailbox, sequence(messages), o)
	require.NoError(t, err)
	return res
}

// What is moved in keeps UIDs, UIDVALIDITY, UIDNEXT, dates, flags and bytes, in a
// few entries, also in an INBOX that never held a message, and is there after the
// account was opened anew.
func TestImportKeepsUIDs(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	a := newUser(t, openStore(t, blobs), "ann")
	before := a.account.state().ByName(Inbox)
	told, err := a.Select(ctx, Inbox, false)
	require.NoError(t, err)
	_, head := a.account.committer.State()

	res := importAll(t, a, Inbox, movings(1, 600), ImportOptions{UIDValidity: 1234, UIDNext: 5000})
	require.Equal(t, ImportResult{Added: 600, KeptUIDs: true}, res)
	_, after := a.account.committer.State()
	require.LessOrEqual(t, after.Pos-head.Pos, head.Pos+5, "many messages share an entry")
	require.True(t, syncView(t, told, false).MailboxDeleted, "a session never sees UIDVALIDITY change")
	require.NotEqual(t, before.ID, a.account.state().ByName(Inbox).ID)

	a = login(t, openStore(t, blobs), "ann")
	st, err := a.Status(ctx, Inbox)
	require.NoError(t, err)
	require.Equal(t, uint32(1234), st.UIDValidity)
	require.Equal(t, UID(5000), st.UIDNext)
	v := selectInbox(t, a)
	n := 0
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		n++
		require.Equal(t, UID(3*n), m.UID)
		require.Equal(t, []string{FlagSeen, fmt.Sprint("k", n%3)}, m.Flags())
		require.Equal(t, int64(1_500_000_000+n), m.Date.Unix())
		r, err := m.Open(ctx, 0, -1)
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, mail(n), string(b))
		meta, err := m.Meta(ctx)
		require.NoError(t, err)
		require.Equal(t, m.Size, meta.Size)
	}
	require.Equal(t, 600, n)
	got, err := a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
	require.NoError(t, err)
	require.Equal(t, UID(5000), got.UID)
	require.NoError(t, a.Create(ctx, "later"))
	later, err := a.Status(ctx, "later")
	require.NoError(t, err)
	require.Greater(t, later.UIDValidity, uint32(1234))
	_, err = a.Check(ctx, func(p Problem) { t.Errorf("check: %v", p) })
	require.NoError(t, err)
}

// Run again, an import adds what is new, also where messages were moved away, and
// gives new UIDs where the old ones are taken.
func TestImportAgain(t *testing.T) {
	ctx := t.Context()
	a := newUser(t, openStore(t, memblob.New()), "ann")
	o := ImportOptions{UIDValidity: 9}
	importAll(t, a, "in", movings(1, 10), o)
	v, err := a.Select(ctx, "in", false)
	require.NoError(t, err)
	_, err = v.Move(ctx, UIDs(3, 6, 9), Inbox)
	require.NoError(t, err)
	_, err = a.Append(ctx, "in", strings.NewReader(mail(0)), AppendOptions{}) // takes UID 31
	require.NoError(t, err)

	res := importAll(t, a, "in", movings(1, 12), o)
	require.Equal(t, ImportResult{Added: 2, Present: 10, KeptUIDs: true}, res)
	require.NoError(t, a.Create(ctx, "used"))
	_, err = a.Append(ctx, "used", strings.NewReader(mail(0)), AppendOptions{})
	require.NoError(t, err)
	others := movings(13, 14)
	res = importAll(t, a, "used", others, ImportOptions{UIDValidity: 9})
	require.Equal(t, ImportResult{Added: 2, Renumbered: 2}, res)
	late := moving(15)
	late.UID = 4
	res = importAll(t, a, "in", []ImportMessage{late}, o)
	require.Equal(t, ImportResult{Added: 1, Renumbered: 1, KeptUIDs: true}, res)
	v, err = a.Select(ctx, "in", true)
	require.NoError(t, err)
	require.Equal(t, []UID{12, 15, 18, 21, 24, 27, 30, 31, 33, 36, 37}, uidsIn(t, v, All()))

	res = importAll(t, a, "high", movings(20, 20), ImportOptions{UIDValidity: 1<<32 - 1})
	require.False(t, res.KeptUIDs, "a value that would leave none for other mailboxes")
	require.NoError(t, a.Create(ctx, "still possible"))
}

// Wherever the store stops answering, the next run makes every message be there
// once.
func TestImportAfterEveryFault(t *testing.T) {
	const messages = 10
	all := movings(1, messages)
	template := memblob.New()
	recovery, err := newUser(t, openStore(t, template), "ann").Recovery()
	require.NoError(t, err)
	for _, lost := range []bool{false, true} {
		// The mailbox's entry, bodies, the messages' entry, and one too many.
		for _, n := range []int{1, 2, 7, messages + 1, messages + 2, messages + 3} {
			t.Run(fmt.Sprint(n, lost), func(t *testing.T) {
				t.Parallel() // they wait more than they work
				inner := template.Clone()
				hit := importFaulty(t, inner, recovery, all, n, lost)
				require.Equal(t, n <= messages+2, hit)
				a := openWith(t, openStore(t, inner), "ann", recovery)
				importAll(t, a, "in", all, ImportOptions{UIDValidity: 9})
				v, err := a.Select(t.Context(), "in", true)
				require.NoError(t, err)
				want := make([]UID, messages)
				for i := range want {
					want[i] = UID(3*i + 3)
				}
				require.Equal(t, want, uidsIn(t, v, All()))
			})
		}
	}
}

// importFaulty imports into a store that loses its n-th answer to a create, or
// takes none from the n-th on, and reports whether it came to that.
func importFaulty(t *testing.T, inner blob.Store, recovery string, all []ImportMessage, n int, lost bool) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var armed, hit atomic.Bool
	var count atomic.Int32
	faulty := blobtest.NewFaulty(inner, func(op blobtest.Op, name string, _ int) blobtest.Fault {
		if !armed.Load() || op != blobtest.OpCreate || strings.HasPrefix(name, "wake/") {
			return blobtest.Fault{}
		}
		i := int(count.Add(1))
		if i < n || lost && i > n {
			return blobtest.Fault{}
		}
		hit.Store(true)
		if lost {
			return blobtest.Fault{After: blobtest.ErrInjected}
		}
		cancel() // nobody waits for such a store
		return blobtest.Fault{Before: blobtest.ErrInjected}
	})
	s, err := Open(ctx, faulty, Options{PollInterval: -1})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	a := openWith(t, s, "ann", recovery)
	defer a.Close()
	im, err := a.Importer(ctx)
	require.NoError(t, err)
	armed.Store(true)
	_, err = im.Import(ctx, "in", sequence(all), ImportOptions{UIDValidity: 9})
	armed.Store(false)
	if !hit.Load() {
		require.NoError(t, err)
	}
	return hit.Load()
}

// Bad messages are told of and passed over, or end the import, as Done wants.
func TestImportBadMessages(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, memblob.New(), Options{Password: cheap, MaxMessage: 1000})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	a := newUser(t, s, "ann")
	broken := errors.New("the source dropped")
	bad := movings(1, 7)
	bad[1].Open = func() (io.ReadCloser, error) { return nil, fs.ErrPermission }
	bad[2].Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("Subject: half"), brokenReader{broken})), nil
	}
	bad[3].Open = func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(strings.Repeat("x", 1001))), nil
	}
	bad[4].Flags = []string{"not a flag"}
	bad[5].Date = time.Unix(1<<60, 0)
	for i := range MaxKeywords + 3 {
		bad[6].Flags = append(bad[6].Flags, fmt.Sprint("x", i))
	}
	want := []error{nil, fs.ErrPermission, broken, ErrTooLarge, ErrBadFlag, ErrBadDate, nil}
	im, err := a.Importer(ctx)
	require.NoError(t, err)
	res, err := im.Import(ctx, "lost", func(yield func(ImportMessage, error) bool) {
		_ = yield(moving(20), nil) && yield(ImportMessage{}, broken)
	}, ImportOptions{UIDValidity: 9, UIDNext: 1000})
	require.ErrorIs(t, err, broken)
	require.Equal(t, ImportResult{Added: 1, KeptUIDs: true}, res, "what came before is kept")
	st, err := a.Status(ctx, "lost")
	require.NoError(t, err)
	require.Equal(t, UID(61), st.UIDNext, "the others may still come")
	i := 0
	res = importAll(t, a, Inbox, bad, ImportOptions{UIDValidity: 9, Done: func(m ImportMessage, got Imported) error {
		assert.Equal(t, bad[i].Origin, m.Origin)
		if want[i] != nil {
			assert.ErrorIs(t, got.Err, want[i])
			assert.Zero(t, got.UID)
		} else {
			assert.Equal(t, UID(3*i+3), got.UID)
			assert.NoError(t, got.Err)
		}
		if i == 6 {
			assert.Equal(t, 4, got.Keywords, "k1, and what is above the bound")
		}
		i++
		return nil
	}})
	require.Equal(t, ImportResult{Added: 2, Failed: 5, KeptUIDs: true}, res)
	require.Equal(t, 7, i)

	im, err = a.Importer(ctx)
	require.NoError(t, err)
	require.True(t, im.Has(bad[0].Origin))
	require.False(t, im.Has(bad[1].Origin))
	_, err = im.Import(ctx, Inbox, sequence(bad), ImportOptions{})
	require.ErrorIs(t, err, fs.ErrPermission)
	v := selectInbox(t, a)
	require.Equal(t, 2, v.Len())
	rep, err := a.Check(ctx, func(p Problem) { assert.True(t, p.Harmless, "%v", p) })
	require.NoError(t, err)
	require.Equal(t, 3, rep.Messages)
}

type brokenReader struct{ err error }

func (f brokenReader) Read([]byte) (int, error) { return 0, f.err }

// noBodies keeps the bodies out of memory, so that a test measures what the
// library holds.
type noBodies struct{ blob.Store }

func (n noBodies) Create(ctx context.Context, name string, r io.Reader) error {
	if strings.Contains(name, "/body/") {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	return n.Store.Create(ctx, name, r)
}

// Memory follows neither the number nor the size of what is moved in.
func TestImportMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own")
	}
	ctx := t.Context()
	a := newUser(t, openStore(t, noBodies{memblob.New()}), "ann")
	im, err := a.Importer(ctx)
	require.NoError(t, err)
	text := mail(1) + strings.Repeat("0123456789abcdef\r\n", 1000)
	var peak uint64
	base := heap()
	n := 0
	_, err = im.Import(ctx, Inbox, func(yield func(ImportMessage, error) bool) {
		for i := range 2000 {
			m := moving(i + 1)
			size := 1
			if i%500 == 0 {
				size = 1000 // 18 MB
			}
			m.Open = func() (io.ReadCloser, error) {
				r := make([]io.Reader, size)
				for i := range r {
					r[i] = strings.NewReader(text)
				}
				return io.NopCloser(io.MultiReader(r...)), nil
			}
			if !yield(m, nil) {
				return
			}
		}
	}, ImportOptions{UIDValidity: 9, Done: func(ImportMessage, Imported) error {
		if n++; n%250 == 0 {
			peak = max(peak, heap())
		}
		return nil
	}})
	require.NoError(t, err)
	require.Less(t, int64(peak)-int64(base), int64(32<<20))
}

// heap returns the bytes in use, less what was allocated since they were counted:
// that may be garbage.
func heap() uint64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// An import ends where an account is full; what fitted is there, and nothing else.
func TestImportOverQuota(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, memblob.New(), Options{Password: cheap, Quotas: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.CreateAccount(ctx, "ann", []byte("secret of ann")))
	require.NoError(t, s.SetQuota(ctx, "ann", Quota{Messages: importEntry + 10}))
	a := login(t, s, "ann")
	im, err := a.Importer(ctx)
	require.NoError(t, err)
	res, err := im.Import(ctx, Inbox, sequence(movings(1, 2*importEntry)), ImportOptions{UIDValidity: 9})
	require.ErrorIs(t, err, ErrOverQuota)
	require.Equal(t, ImportResult{Added: importEntry, KeptUIDs: true}, res)
	rep, err := a.Check(ctx, func(p Problem) { t.Errorf("check: %v", p) })
	require.NoError(t, err)
	require.Equal(t, importEntry, rep.Messages)
}
