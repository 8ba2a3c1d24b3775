package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

func TestLogin(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, memblob.New())
	a := newUser(t, s, "Ann@Example.org")
	require.Equal(t, "ann@example.org", a.Name())
	require.ErrorIs(t, s.CreateAccount(ctx, "ann@EXAMPLE.org", []byte("x")), ErrAccountExists)
	require.NoError(t, s.Lookup(ctx, "ann@example.org"))
	require.ErrorIs(t, s.Lookup(ctx, "bob"), ErrNoAccount)
	require.ErrorIs(t, s.Lookup(ctx, "jürgen"), ErrNoAccount)
	require.NoError(t, s.CreateAccount(ctx, "ju\u0308rgen", []byte("x")))
	require.NoError(t, s.Lookup(ctx, "J\u00fcrgen"))
	for _, name := range []string{"", "with space", "line\nend", strings.Repeat("x", 256), "\xff"} {
		require.ErrorIs(t, s.CreateAccount(ctx, name, []byte("x")), ErrBadName, "%q", name)
	}

	_, err := s.Login(ctx, "ann@example.org", []byte("wrong"))
	require.ErrorIs(t, err, ErrAuth)
	_, err = s.Login(ctx, "nobody", []byte("wrong"))
	require.ErrorIs(t, err, ErrAuth)

	require.NoError(t, a.SetPassword(ctx, []byte("new secret")))
	_, err = s.Login(ctx, "ann@example.org", []byte("secret of Ann@Example.org"))
	require.ErrorIs(t, err, ErrAuth, "the old password, remembered or not")
	b, err := s.Login(ctx, "ann@example.org", []byte("new secret"))
	require.NoError(t, err)
	require.NoError(t, b.Close())
	_, err = b.Status(ctx, Inbox)
	require.ErrorIs(t, err, ErrClosed)
}

func TestTokens(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, memblob.New())
	a := newUser(t, s, "ann")
	bob := newUser(t, s, "bob")
	token, err := a.AddToken(ctx, "laptop")
	require.NoError(t, err)

	b, err := s.Login(ctx, "ann", []byte(token.Export()))
	require.NoError(t, err)
	require.NoError(t, b.Close())
	for _, name := range []string{"bob", "nobody"} {
		_, err = s.Login(ctx, name, []byte(token.Export()))
		require.ErrorIs(t, err, ErrAuth, name)
	}
	// What a device's token opened cannot be made to outlive the token.
	b, err = s.Login(ctx, "ann", []byte(token.Export()))
	require.NoError(t, err)
	defer b.Close()
	require.ErrorIs(t, b.SetPassword(ctx, []byte("mine now")), ErrByToken)
	_, err = b.AddToken(ctx, "another")
	require.ErrorIs(t, err, ErrByToken)
	_, err = b.Recovery()
	require.ErrorIs(t, err, ErrByToken)
	list, err := a.Tokens(ctx)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.ErrorIs(t, b.RevokeToken(ctx, list[0].ID), ErrByToken)
	require.Equal(t, "laptop", list[0].Label)
	require.ErrorIs(t, bob.RevokeToken(ctx, list[0].ID), ErrNoToken)
	require.ErrorIs(t, a.RevokeToken(ctx, "nonsense"), ErrNoToken)
	require.NoError(t, a.RevokeToken(ctx, list[0].ID))
	_, err = s.Login(ctx, "ann", []byte(token.Export()))
	require.ErrorIs(t, err, ErrAuth)
}

func TestRecoveryOpensWhatPasswordsDoNot(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openStore(t, blobs)
	a := newUser(t, s, "ann")
	recovery, err := a.Recovery()
	require.NoError(t, err)
	_, err = a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
	require.NoError(t, err)
	require.NoError(t, a.Close())
	for info, err := range blobs.List(ctx, "", "") {
		require.NoError(t, err)
		if strings.Contains(info.Name, "/slot/") {
			require.NoError(t, blobs.Delete(ctx, info.Name))
		}
	}
	_, err = s.Login(ctx, "ann", []byte("secret of ann"))
	require.ErrorIs(t, err, ErrAuth)
	b := openWith(t, s, "ann", recovery)
	st, err := b.Status(ctx, Inbox)
	require.NoError(t, err)
	require.Equal(t, 1, st.Messages)
	require.NoError(t, b.SetPassword(ctx, []byte("again")))
	c, err := s.Login(ctx, "ann", []byte("again"))
	require.NoError(t, err)
	require.NoError(t, c.Close())

	other, err := crypto.NewIdentity()
	require.NoError(t, err)
	_, err = s.OpenAccount(ctx, "ann", other)
	require.ErrorIs(t, err, ErrSwappedKey, "another account's identity, while the account is open")
}

func TestSwappedDeliveryKeyIsNoticed(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openStore(t, blobs)
	require.NoError(t, newUser(t, s, "ann").Close())
	thief, err := crypto.NewIdentity()
	require.NoError(t, err)
	for info, err := range blobs.List(ctx, "acct/", "") {
		require.NoError(t, err)
		if strings.HasSuffix(info.Name, "key/0000000001") {
			require.NoError(t, blobs.Delete(ctx, info.Name))
			require.NoError(t, blobs.Create(ctx, info.Name, strings.NewReader(thief.Recipient().String()+"\n")))
		}
	}
	_, err = s.Login(ctx, "ann", []byte("secret of ann"))
	require.ErrorIs(t, err, ErrSwappedKey)
}

func TestAccountNamesAreListedWithTheKeyOnly(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	key := crypto.NewServerKey()
	s, err := Open(ctx, blobs, Options{Password: cheap, ServerKey: key})
	require.NoError(t, err)
	defer s.Close()
	for _, n := range []string{"ann", "bob@example.org"} {
		require.NoError(t, s.CreateAccount(ctx, n, []byte("x")))
	}
	var names []string
	for n, err := range s.Accounts(ctx) {
		require.NoError(t, err)
		names = append(names, n)
	}
	require.ElementsMatch(t, []string{"ann", "bob@example.org"}, names)
	without, err := Open(ctx, blobs, Options{WithoutServerKey: true})
	require.NoError(t, err)
	defer without.Close()
	for _, err := range without.Accounts(ctx) {
		require.ErrorIs(t, err, ErrServerKey)
	}
}

// Nothing that a user wrote, and no name of theirs, reaches the store readable.
func TestNothingReadableReachesTheStore(t *testing.T) {
	ctx := t.Context()
	secrets := []string{
		"margarethe@example.org", "Quarterly-Figures", "boundless discretion", "Holidays-2031", "$Confidential", "Subject-Of-Interest", "laptop of margarethe", "open-sesame-now",
	}
	var needles [][]byte
	for _, s := range secrets {
		needles = append(needles, []byte(s))
	}
	canary := blobtest.NewCanary(t, memblob.New(), needles...)
	s, err := Open(ctx, canary, Options{Password: cheap, ServerKey: crypto.NewServerKey()})
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, s.CreateAccount(ctx, secrets[0], []byte(secrets[7])))
	a, err := s.Login(ctx, secrets[0], []byte(secrets[7]))
	require.NoError(t, err)
	defer a.Close()
	text := "From: margarethe@example.org\r\nSubject: Subject-Of-Interest\r\n\r\nboundless discretion\r\n"
	require.NoError(t, a.Create(ctx, "Holidays-2031/Quarterly-Figures"))
	require.NoError(t, a.Subscribe(ctx, "Holidays-2031", true))
	_, err = a.AddToken(ctx, secrets[6])
	require.NoError(t, err)
	_, err = a.Append(ctx, "Holidays-2031", strings.NewReader(text), AppendOptions{Flags: []string{"$Confidential"}})
	require.NoError(t, err)
	for _, err := range s.Deliver(ctx, []Recipient{{Account: secrets[0], Folder: "Holidays-2031", Prefix: []byte("Delivered-To: margarethe@example.org\r\n")}}, strings.NewReader(text)) {
		require.NoError(t, err)
	}
	require.NoError(t, a.account.catchUp(ctx))
	require.NoError(t, snapshotNow(ctx, a.account))
	require.NoError(t, a.Rename(ctx, "Holidays-2031", "Quarterly-Figures"))
	for _, err := range s.Deliver(ctx, []Recipient{{Account: secrets[0]}}, strings.NewReader(text)) {
		require.NoError(t, err)
	}
}

// Secrets do not show in what a program may print.
func TestSecretsPrintAsPlaceholders(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, memblob.New())
	a := newUser(t, s, "ann")
	_, err := a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
	require.NoError(t, err)
	v := selectInbox(t, a)
	recovery, err := a.Recovery()
	require.NoError(t, err)
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		body := m.page.Bodies[m.i]
		for _, format := range []string{"%v", "%+v", "%#v"} {
			out := fmt.Sprintf(format, a) + fmt.Sprintf(format, v) + fmt.Sprintf(format, m) + fmt.Sprintf(format, s)
			assert.NotContains(t, out, recovery)
			assert.NotContains(t, out, fmt.Sprintf("%d", body.Key.File[:]))
			assert.NotContains(t, out, fmt.Sprintf("%#v", [16]byte(body.Key.File)))
		}
	}
}

func TestFailedReadersLeaveNothing(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openStore(t, blobs)
	a := newUser(t, s, "ann")
	newUser(t, s, "bob")
	before := names(t, blobs)
	broken := errors.New("client went away")
	reader := func() *failing { return &failing{strings.NewReader(strings.Repeat("x", 200_000)), broken} }

	_, err := a.Append(ctx, Inbox, reader(), AppendOptions{})
	require.ErrorIs(t, err, broken)
	_, err = a.Append(ctx, "no such", strings.NewReader(mail(1)), AppendOptions{})
	require.ErrorIs(t, err, ErrNoMailbox)
	_, err = a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{Flags: []string{`\Nonsense`}})
	require.ErrorIs(t, err, ErrBadFlag)
	var many []string
	for i := range MaxKeywords + 1 {
		many = append(many, fmt.Sprintf("k%d", i))
	}
	_, err = a.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{Flags: many})
	require.ErrorIs(t, err, ErrTooManyKeywords)
	for _, err := range s.Deliver(ctx, []Recipient{{Account: "ann"}, {Account: "bob"}}, reader()) {
		require.ErrorIs(t, err, broken)
	}
	s.opts.MaxMessage = 100
	_, err = a.Append(ctx, Inbox, strings.NewReader(mail(1)+mail(2)), AppendOptions{})
	require.ErrorIs(t, err, ErrTooLarge)
	errs := s.Deliver(ctx, []Recipient{{Account: "nobody"}, {Account: "bob"}}, strings.NewReader(mail(1)+mail(2)))
	require.ErrorIs(t, errs[0], ErrNoAccount)
	require.ErrorIs(t, errs[1], ErrTooLarge)
	require.Equal(t, before, names(t, blobs))
}

type failing struct {
	*strings.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil {
		err = f.err
	}
	return n, err
}

func names(t *testing.T, blobs *memblob.Store) []string {
	t.Helper()
	var out []string
	for info, err := range blobs.List(t.Context(), "", "") {
		require.NoError(t, err)
		if !strings.HasPrefix(info.Name, layout.WakeFolder) {
			out = append(out, info.Name)
		}
	}
	return out
}

// One recipient's trouble is not another's.
func TestDeliverGoesOnWithoutTheOneThatFails(t *testing.T) {
	ctx := t.Context()
	trouble := errors.New("no space left")
	faulty := blobtest.NewFaulty(memblob.New(), nil)
	s := openStore(t, faulty)
	a, b := newUser(t, s, "ann"), newUser(t, s, "bob")
	faulty.SetPlan(func(op blobtest.Op, name string, n int) blobtest.Fault {
		if op == blobtest.OpCreate && strings.HasPrefix(name, a.account.prefix+"body/") {
			return blobtest.Fault{Before: trouble}
		}
		return blobtest.Fault{}
	})
	text := strings.Repeat("0123456789", 50_000)
	errs := s.Deliver(ctx, []Recipient{{Account: "ann"}, {Account: "bob"}}, iotest.HalfReader(strings.NewReader(text)))
	require.ErrorIs(t, errs[0], trouble)
	require.NoError(t, errs[1])
	st, err := b.Status(ctx, Inbox)
	require.NoError(t, err)
	require.Equal(t, 1, st.Messages)
	require.EqualValues(t, len(text), st.Size)
}

// An answer that is lost is not a message that is lost, or there twice.
func TestLostAnswers(t *testing.T) {
	ctx := t.Context()
	lost := errors.New("connection reset")
	for n := 1; n <= 12; n++ {
		faulty := blobtest.NewFaulty(memblob.New(), nil)
		s := openStore(t, faulty)
		a := newUser(t, s, "ann")
		first := faulty.Calls(blobtest.OpCreate)
		faulty.SetPlan(blobtest.Nth(blobtest.OpCreate, first+n, blobtest.Fault{After: lost}))
		acked := 0
		for i := range 4 {
			if _, err := a.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{}); err == nil {
				acked++
			}
			if s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(i)))[0] == nil {
				acked++
			}
		}
		st, err := a.Status(ctx, Inbox)
		require.NoError(t, err)
		require.Equal(t, acked, st.Messages)
		require.GreaterOrEqual(t, acked, 7)
	}
}

// Junk that anybody may write into the log is passed over.
func TestJunkDeliveriesAreSkipped(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	var log bytes.Buffer
	s, err := Open(ctx, blobs, Options{Password: cheap, PollInterval: -1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	a := newUser(t, s, "ann")
	in, err := s.inbox(ctx, "ann")
	require.NoError(t, err)
	require.NoError(t, in.ready(ctx))
	for _, record := range [][]byte{
		nil, {}, {99}, []byte("junk"),
		state.EncodeEvent(&state.DeleteMailbox{Mailbox: 1}),
		state.EncodeEvent(&state.ExpungeMessages{Mailbox: 1, UIDs: state.UIDSet{{First: 1, Last: 9}}}),
		state.EncodeEvent(&state.Deliver{Messages: []state.NewMessage{{Size: 5, Meta: []byte("junk")}}}),
		state.EncodeEvent(&state.Deliver{Messages: []state.NewMessage{{Size: 5, Flags: []string{FlagSeen}}}}),
		state.EncodeEvent(&state.Deliver{Messages: []state.NewMessage{{Meta: metaOf(""), Flags: []string{FlagSeen}}}}),
		state.EncodeEvent(&state.Deliver{Messages: []state.NewMessage{{Meta: metaOf(""), Size: 1}}}),
		state.EncodeEvent(&state.Deliver{Messages: []state.NewMessage{{Meta: metaOf(""), Date: 1 << 50}}}),
		state.EncodeEvent(&state.Deliver{Folder: "\xff", Messages: []state.NewMessage{{Meta: metaOf("")}}}),
		newManyRecord(&state.DeleteMailbox{Mailbox: 1}),
	} {
		_, err := in.committer.Commit(ctx, func(context.Context, struct{}, eventlog.Position) ([]byte, error) {
			return append([]byte{}, record...), nil
		})
		require.NoError(t, err)
	}
	require.NoError(t, s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0])
	st, err := a.Status(ctx, Inbox)
	require.NoError(t, err)
	require.Equal(t, 1, st.Messages)
	require.NoError(t, a.Close())
	require.NoError(t, s.Close())
	require.Equal(t, 13, strings.Count(log.String(), "skipped a record"), "who runs the server is told")
}

func newManyRecord(e state.Event) []byte { return state.EncodeEvent(state.NewBatch(e)) }

// What other processes commit is told to those who wait.
func TestWatchHearsOtherProcesses(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	open := func() *Store {
		s, err := Open(ctx, blobs, Options{Password: cheap, PollInterval: 50 * time.Millisecond})
		require.NoError(t, err)
		t.Cleanup(func() { s.Close() })
		return s
	}
	s1, s2, s3 := open(), open(), open()
	a := newUser(t, s1, "ann")
	b := login(t, s2, "ann")
	for name, do := range map[string]func() error{
		"append in another process": func() error {
			_, err := b.Append(ctx, Inbox, strings.NewReader(mail(1)), AppendOptions{})
			return err
		},
		"delivery in another process": func() error {
			return s3.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0]
		},
		"delivery in this process": func() error {
			return s1.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0]
		},
	} {
		v := selectInbox(t, a)
		w := a.Watch()
		have := v.Len()
		require.NoError(t, do(), name)
		for {
			c, err := v.Sync(ctx, false)
			require.NoError(t, err)
			if c.Exists == have+1 {
				break
			}
			select {
			case <-w.C:
			case <-time.After(20 * time.Second):
				t.Fatal("not told: " + name)
			}
		}
		w.Close()
	}
}

func TestManyLoginsShareOneAccount(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, memblob.New())
	require.NoError(t, newUser(t, s, "ann").Close())
	var wg sync.WaitGroup
	uids := make([]UID, 16)
	for i := range uids {
		wg.Go(func() {
			a, err := s.Login(ctx, "ann", []byte("secret of ann"))
			if !assert.NoError(t, err) {
				return
			}
			defer a.Close()
			got, err := a.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{})
			assert.NoError(t, err)
			uids[i] = got.UID
		})
	}
	wg.Wait()
	slices.Sort(uids)
	for i, u := range uids {
		require.Equal(t, UID(i+1), u)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Empty(t, s.accounts, "keys stay in memory no longer than a session")
}

func TestDamagedObjectsAreNamedAndContained(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openStore(t, blobs)
	a := newUser(t, s, "ann")
	for i := range 3 {
		_, err := a.Append(ctx, Inbox, strings.NewReader(mail(i)), AppendOptions{})
		require.NoError(t, err)
	}
	require.NoError(t, snapshotNow(ctx, a.account))
	_, err := a.Check(ctx, func(p Problem) { t.Errorf("clean account: %v", p) })
	require.NoError(t, err)
	_, err = s.Check(ctx, func(p Problem) { t.Errorf("clean store: %v", p) })
	require.NoError(t, err)

	var body string
	for info, err := range blobs.List(ctx, a.account.prefix+"body/", "") {
		require.NoError(t, err)
		body = info.Name
	}
	require.NoError(t, blobs.Delete(ctx, body))
	var found []Problem
	_, err = a.Check(ctx, func(p Problem) { found = append(found, p) })
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, body, found[0].Object)
	require.ErrorIs(t, found[0].Err, fs.ErrNotExist)

	v := selectInbox(t, a)
	read := 0
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		r, err := m.Open(ctx, 0, -1)
		if err != nil {
			require.ErrorIs(t, err, fs.ErrNotExist)
			continue
		}
		require.NoError(t, r.Close())
		read++
	}
	require.Equal(t, 2, read, "the others are still there")
}

// A store whose disk is not mounted, or was replaced, does not look as if nobody
// had an account: mail for them would be sent back.
func TestStoreThatIsGoneIsNotEmpty(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openStore(t, blobs)
	newUser(t, s, "ann")
	var all []string
	for info, err := range blobs.List(ctx, "", "") {
		require.NoError(t, err)
		all = append(all, info.Name)
	}
	require.NoError(t, blobs.Delete(ctx, all...))
	gone := func() {
		err := s.Lookup(ctx, "ann")
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrNoAccount)
		err = s.Deliver(ctx, []Recipient{{Account: "ann"}}, strings.NewReader(mail(1)))[0]
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrNoAccount)
	}
	gone()
	openStore(t, blobs) // another store where it was
	gone()
}
