package observeblob_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/blob/observeblob"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// book notes requests, and spans by name.
type book struct {
	observe.Observer // nil: nothing else is called

	mu       sync.Mutex // protects what follows
	requests []observe.Request
	spans    []string
	open     int
}

func (b *book) Request(r observe.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.Time = 0
	b.requests = append(b.requests, r)
}

func (b *book) Start(ctx context.Context, op string) (context.Context, func(bool)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open++
	return ctx, func(failed bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.open--
		if failed {
			op += " failed"
		}
		b.spans = append(b.spans, op)
	}
}

func (b *book) hooks() observe.Hooks { return observe.Hooks{Observer: b, Tracer: b} }

// The wrapper keeps the contract of what it wraps.
func TestConformance(t *testing.T) {
	blobtest.Run(t, func(*testing.T) (_, _ blob.Store) {
		s := observeblob.Wrap(memblob.New(), (&book{}).hooks())
		return s, s
	})
}

func TestNobodyWatches(t *testing.T) {
	s := memblob.New()
	require.Same(t, s, observeblob.Wrap(s, observe.Hooks{}))
}

func TestRequestsAreTold(t *testing.T) {
	ctx := t.Context()
	b := &book{}
	s := observeblob.Wrap(memblob.New(), b.hooks())
	const name = "acct/00/body/11"
	require.NoError(t, s.Create(ctx, name, strings.NewReader("12345")))
	require.Error(t, s.Create(ctx, name, strings.NewReader("1")))
	r, err := s.Open(ctx, name, 1, 2)
	require.NoError(t, err)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "23", string(text))
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	_, err = s.Open(ctx, "name/22", 0, -1)
	require.Error(t, err)
	_, err = s.Stat(ctx, name)
	require.NoError(t, err)
	for range s.List(ctx, "acct/00/log/", "") {
		t.Fatal("there is none")
	}
	for range s.List(ctx, "acct/00/", "") {
	}
	require.NoError(t, s.Delete(ctx, name, "wake/3"))

	ok := observe.OK
	require.Equal(t, []observe.Request{
		{Op: observe.Create, Kind: observe.KindBody, Result: ok, Bytes: 5},
		{Op: observe.Create, Kind: observe.KindBody, Result: observe.Taken, Bytes: b.requests[1].Bytes},
		{Op: observe.Open, Kind: observe.KindBody, Result: ok, Bytes: 2},
		{Op: observe.Open, Kind: observe.KindName, Result: observe.Missing},
		{Op: observe.Stat, Kind: observe.KindBody, Result: ok},
		{Op: observe.List, Kind: observe.KindEntry, Result: ok},
		{Op: observe.List, Kind: observe.KindOther, Result: ok, Names: 1},
		{Op: observe.Delete, Kind: observe.KindBody, Result: ok, Names: 2},
	}, b.requests)
	require.Zero(t, b.open, "every span ends")
	require.Equal(t, "store create body", b.spans[0])
	require.NotContains(t, strings.Join(b.spans, "\n"), "failed", "what is taken or missing is an answer")

	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.Stat(gone, name)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, observe.Canceled, b.requests[len(b.requests)-1].Result)
	require.Error(t, s.Create(ctx, "snap/9", failing{}))
	require.Equal(t, observe.Request{Op: observe.Create, Kind: observe.KindSnapshot, Result: observe.Failed}, b.requests[len(b.requests)-1])
	require.Contains(t, b.spans, "store create snapshot failed")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("no bytes") }
