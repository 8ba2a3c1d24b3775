package mailbox

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// everyCall calls all that a session can call, and returns what failed with
// another error than want.
func everyCall(ctx context.Context, a *Account, v *View, m *Message, want error) []string {
	set := All()
	calls := map[string]func() error{
		"mailboxes":   func() error { _, err := a.Mailboxes(ctx); return err },
		"status":      func() error { _, err := a.Status(ctx, Inbox); return err },
		"create":      func() error { return a.Create(ctx, "new") },
		"delete":      func() error { return a.Delete(ctx, "new") },
		"rename":      func() error { return a.Rename(ctx, "new", "newer") },
		"subscribe":   func() error { return a.Subscribe(ctx, "new", true) },
		"append":      func() error { _, err := a.Append(ctx, Inbox, strings.NewReader(""), AppendOptions{}); return err },
		"select":      func() error { _, err := a.Select(ctx, Inbox, false); return err },
		"password":    func() error { return a.SetPassword(ctx, []byte("x")) },
		"add token":   func() error { _, err := a.AddToken(ctx, ""); return err },
		"tokens":      func() error { _, err := a.Tokens(ctx); return err },
		"revoke":      func() error { return a.RevokeToken(ctx, strings.Repeat("0", 32)) },
		"recovery":    func() error { _, err := a.Recovery(); return err },
		"check":       func() error { _, err := a.Check(ctx, func(Problem) {}); return err },
		"sync":        func() error { _, err := v.Sync(ctx, false); return err },
		"store":       func() error { _, err := v.Store(ctx, set, FlagsAdd, []string{FlagSeen}, StoreOptions{}); return err },
		"copy":        func() error { _, err := v.Copy(ctx, set, Inbox); return err },
		"move":        func() error { _, err := v.Move(ctx, set, Inbox); return err },
		"expunge":     func() error { _, err := v.Expunge(ctx, nil); return err },
		"firstUnseen": func() error { _, _, err := v.FirstUnseen(ctx); return err },
		"meta":        func() error { _, err := m.Meta(ctx); return err },
		"open":        func() error { _, err := m.Open(ctx, 0, -1); return err },
		"messages": func() error {
			for _, err := range v.Messages(ctx, set) {
				return err
			}
			return nil
		},
		"search": func() error {
			for _, err := range v.Search(ctx, nil) {
				return err
			}
			return nil
		},
	}
	var wrong []string
	for name, call := range calls {
		if err := call(); !errors.Is(err, want) {
			wrong = append(wrong, name)
		}
	}
	slices.Sort(wrong)
	return wrong
}

func firstMessage(t *testing.T, v *View) *Message {
	t.Helper()
	for m, err := range v.Messages(t.Context(), All()) {
		require.NoError(t, err)
		return m
	}
	t.Fatal("no message")
	return nil
}

func TestUseAfterCloseFails(t *testing.T) {
	ctx := t.Context()
	for name, end := range map[string]func(*Store, *Account, *View){
		"account": func(_ *Store, a *Account, _ *View) { a.Close() },
		"store":   func(s *Store, _ *Account, _ *View) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, memblob.New())
			a := newUser(t, s, "ann")
			_, err := a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
			require.NoError(t, err)
			v := selectInbox(t, a)
			m := firstMessage(t, v)
			w := a.Watch()
			end(s, a, v)
			require.Empty(t, everyCall(ctx, a, v, m, ErrClosed))
			select {
			case <-w.C:
			case <-time.After(10 * time.Second):
				t.Fatal("who waits for changes is not woken")
			}
			w.Close()
			w = a.Watch()
			<-w.C
			v.Close()
			v.Len()
			require.Empty(t, v.account.identity.Export(), "keys are gone")
		})
	}
	s := openStore(t, memblob.New())
	newUser(t, s, "ann")
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0], ErrClosed)
	_, err := s.Login(ctx, "ann", []byte("secret of ann"))
	require.ErrorIs(t, err, ErrClosed)
}

// A view that is closed fails, and only it.
func TestClosedView(t *testing.T) {
	ctx := t.Context()
	a := newUser(t, openStore(t, memblob.New()), "ann")
	v, other := selectInbox(t, a), selectInbox(t, a)
	v.Close()
	_, err := v.Sync(ctx, false)
	require.ErrorIs(t, err, ErrClosed)
	_, err = other.Sync(ctx, false)
	require.NoError(t, err)
}

// Calls that run while their account is closed end as if it were open, or say so;
// nothing panics, and no damage is reported where only the keys went.
func TestCloseBesideCalls(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	keeper := openStore(t, blobs)
	require.NoError(t, newUser(t, keeper, "ann").Close())
	for round := range 4 {
		s := openStore(t, blobs)
		a := login(t, s, "ann")
		_, err := a.Append(ctx, Inbox, strings.NewReader(mail(round)), AppendOptions{})
		require.NoError(t, err)
		require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(round)))[0])
		v := selectInbox(t, a)
		var wg sync.WaitGroup
		var begun sync.WaitGroup
		begun.Add(6)
		for i := range 6 {
			wg.Go(func() {
				view, err := a.Select(ctx, Inbox, false)
				begin := sync.OnceFunc(begun.Done)
				defer begin()
				if !assert.NoError(t, err) {
					return
				}
				for n := 0; ; n++ {
					switch i {
					case 0:
						_, err = view.Sync(ctx, false)
					case 1:
						if n < 10 {
							_, err = a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
						} else {
							_, err = a.Status(ctx, Inbox)
						}
					case 2:
						_, err = view.Store(ctx, All(), FlagsAdd, []string{FlagFlagged}, StoreOptions{})
					case 3:
						_, err = a.Check(ctx, func(p Problem) {
							if !p.Harmless {
								assert.NoError(t, p.Err)
							}
						})
					case 4:
						for m, fail := range view.Messages(ctx, All()) {
							if err = fail; err == nil {
								_, err = m.Meta(ctx)
							}
							if err != nil {
								break
							}
						}
					case 5:
						_, err = a.Tokens(ctx)
					}
					if err != nil {
						assert.ErrorIs(t, err, ErrClosed, "call %d", i)
						return
					}
					begin()
				}
			})
		}
		begun.Wait()
		v.Close()
		if round%2 == 0 {
			require.NoError(t, a.Close())
		} else {
			require.NoError(t, s.Close())
		}
		wg.Wait()
		// The last snapshot after Account.Close may still need the keys; Store.Close
		// waits for it.
		require.NoError(t, s.Close())
		require.True(t, a.account.identity.Export() == "", "the keys are still there")
	}
}

// An account that writes its last snapshot is opened anew by the next login.
func TestLoginWhileTheLastSnapshotIsWritten(t *testing.T) {
	ctx := t.Context()
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	s := openStore(t, faulty)
	a := newUser(t, s, "ann")
	for i := range closingEntries + 4 {
		_, err := a.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{})
		require.NoError(t, err)
	}
	hold, reached := make(chan struct{}), make(chan struct{})
	var once sync.Once
	faulty.SetPlan(func(op blobtest.Op, name string, n int) blobtest.Fault {
		if op == blobtest.OpCreate && strings.Contains(name, "/snap/") {
			once.Do(func() { close(reached) })
			return blobtest.Fault{Hold: hold}
		}
		return blobtest.Fault{}
	})
	require.NoError(t, a.Close())
	<-reached
	b := login(t, s, "ann")
	require.NotSame(t, a.account, b.account)
	_, err := b.Append(ctx, Inbox, strings.NewReader(mail(0)), AppendOptions{})
	require.NoError(t, err)
	close(hold)
	s.retiring.Wait()
	require.Empty(t, a.account.identity.Export())
	v := selectInbox(t, b)
	n := 0
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		_, err = m.Meta(ctx)
		require.NoError(t, err)
		n++
	}
	require.Equal(t, closingEntries+5, n)
	_, err = b.Check(ctx, func(p Problem) { t.Errorf("check: %v", p) })
	require.NoError(t, err)
}

// A caller who gives up while another goroutine decides for it deletes no body
// that is committed all the same, and does not race with the decision.
func TestGivingUpWhileBeingDecided(t *testing.T) {
	for round := range 40 {
		faulty := blobtest.NewFaulty(memblob.New(), nil)
		s := openStore(t, faulty)
		s.opts.PollInterval = -1
		a := quickUser(t, s, "ann")
		hold := make(chan struct{})
		faulty.SetPlan(func(op blobtest.Op, name string, n int) blobtest.Fault {
			if op == blobtest.OpCreate && strings.Contains(name, "/log/") {
				return blobtest.Fault{Hold: hold}
			}
			return blobtest.Fault{}
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				use := t.Context()
				if i%2 == 1 {
					use = ctx
				}
				_, err := a.Append(use, Inbox, strings.NewReader(mail(i)), AppendOptions{})
				if i%2 == 0 {
					assert.NoError(t, err, "another's context")
				}
			})
		}
		for range round * 50 {
			runtime.Gosched()
		}
		go close(hold)
		cancel()
		wg.Wait()
		v := selectInbox(t, a)
		for m, err := range v.Messages(t.Context(), All()) {
			require.NoError(t, err)
			r, err := m.Open(t.Context(), 0, -1)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, r)
			require.NoError(t, err, "a message whose body is gone")
			require.NoError(t, r.Close())
		}
	}
}

// A decision does not run after its caller left.
func TestDecisionEndsWithItsCaller(t *testing.T) {
	a := newUser(t, openStore(t, memblob.New()), "ann")
	ran := 0
	d := decision{account: a.account, decide: func(context.Context, *state.Account, ModSeq) (state.Event, error) {
		ran++
		return nil, ErrNoMailbox
	}}
	s := a.account.state()
	_, err := d.run(t.Context(), s, 9)
	require.ErrorIs(t, err, ErrNoMailbox)
	require.False(t, d.end())
	_, err = d.run(t.Context(), s, eventlog.Position(9))
	require.ErrorIs(t, err, errDecided)
	require.Equal(t, 1, ran)
}

// A refusal that could not be compared with what other processes wrote is the
// store's error, not a refusal.
func TestRefusalNeedsANewLook(t *testing.T) {
	ctx := t.Context()
	trouble := errors.New("store is away")
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	a := newUser(t, openStore(t, faulty), "ann")
	v := selectInbox(t, a)
	_, err := a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
	require.NoError(t, err)
	_, err = v.Sync(ctx, false)
	require.NoError(t, err)
	faulty.SetPlan(func(op blobtest.Op, name string, n int) blobtest.Fault { return blobtest.Fault{Before: trouble} })
	_, err = v.Copy(ctx, All(), "no such")
	require.ErrorIs(t, err, trouble)
	require.NotErrorIs(t, err, ErrNoMailbox)
}
