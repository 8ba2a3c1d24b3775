package mailbox

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
)

// cheap makes password derivations cost as little as is allowed.
var cheap = crypto.PasswordParams{Time: 1, Memory: 36 << 10, Threads: 1}

func openStore(t testing.TB, blobs blob.Store) *Store {
	t.Helper()
	s, err := Open(context.Background(), blobs, Options{Password: cheap})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		checkAtEnd(t, blobs)
	})
	return s
}

// damages says that a test leaves a store that is not sound.
func damages(t testing.TB) { damaging.Store(t.Name(), true) }

var damaging sync.Map // names of tests

// checkAtEnd checks a store that a test wrote, without keys, whatever the test was
// about. One that still fails on purpose is left alone.
func checkAtEnd(t testing.TB, blobs blob.Store) {
	t.Helper()
	if _, ok := damaging.Load(t.Name()); ok || t.Failed() {
		return
	}
	if faulty, ok := blobs.(*blobtest.Faulty); ok {
		faulty.SetPlan(nil)
	}
	ctx := context.Background()
	s, err := Open(ctx, blobs, Options{PollInterval: -1, NoCollect: true})
	if err != nil {
		return
	}
	defer s.Close()
	_, _ = s.Check(ctx, func(p Problem) {
		if !p.Harmless {
			t.Errorf("the test left a store that is damaged: %v", p)
		}
	})
}

func newUser(t testing.TB, s *Store, name string) *Account {
	t.Helper()
	ctx := context.Background()
	require.NoError(t, s.CreateAccount(ctx, name, []byte("secret of "+name)))
	return login(t, s, name)
}

func login(t testing.TB, s *Store, name string) *Account {
	t.Helper()
	a, err := s.Login(context.Background(), name, []byte("secret of "+name))
	require.NoError(t, err)
	t.Cleanup(func() { a.Close() })
	return a
}

func openWith(t testing.TB, s *Store, name, recovery string) *Account {
	t.Helper()
	id, err := crypto.ParseIdentity(recovery)
	require.NoError(t, err)
	a, err := s.OpenAccount(context.Background(), name, id)
	require.NoError(t, err)
	t.Cleanup(func() { a.Close() })
	return a
}

func mail(n int) string {
	return fmt.Sprintf("From: ann@example.org\r\nTo: bob@example.org\r\nSubject: mail %d\r\nMessage-ID: <%d@example.org>\r\n\r\nbody of mail %d\r\n", n, n, n)
}

func TestAppendAndRead(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, memblob.New())
	a := newUser(t, s, "ann")

	got, err := a.Append(ctx, "inbox", strings.NewReader(mail(1)), AppendOptions{Flags: []string{`\seen`, "$Work"}})
	require.NoError(t, err)
	require.Equal(t, UID(1), got.UID)
	require.NotZero(t, got.UIDValidity)

	errs := s.Deliver(ctx, []Recipient{{Account: "ann", Prefix: []byte("Return-Path: <x@y>\r\n")}, {Account: "nobody"}}, strings.NewReader(mail(2)))
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], ErrNoAccount)

	v, err := a.Select(ctx, "INBOX", false)
	require.NoError(t, err)
	require.Equal(t, 2, v.Len())
	require.Equal(t, 2, v.Recent())
	var texts []string
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		r, err := m.Open(ctx, 0, -1)
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.Len(t, b, int(m.Size))
		texts = append(texts, string(b))
		meta, err := m.Meta(ctx)
		require.NoError(t, err)
		require.Equal(t, m.Size, meta.Size)
		preview, ok, err := m.Preview(ctx, true)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, fmt.Sprintf("body of mail %d", m.UID), preview)
	}
	require.Equal(t, []string{mail(1), "Return-Path: <x@y>\r\n" + mail(2)}, texts)

	var found []UID
	for f, err := range v.Search(ctx, &Query{Op: OpAnd, Args: []*Query{{Op: OpText, Text: "BODY OF"}, {Op: OpHeader, Field: "subject", Text: "Mail 2"}}}) {
		require.NoError(t, err)
		found = append(found, f.UID)
	}
	require.Equal(t, []UID{2}, found)
}

// snapshotNow writes a snapshot, whether one is due or not, and trims the log.
func snapshotNow(ctx context.Context, a *account) error {
	if err := a.writeSnapshot(ctx, a.store.opts.Now(), pages.Rewrite{}); err != nil {
		return err
	}
	_, err := a.log.Trim(ctx)
	return err
}
