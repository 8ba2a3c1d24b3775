package observe_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/blob/observeblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/imapadapter/server"
	"github.com/letterlock/letterlock/lmtpadapter"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/observe"
	"github.com/letterlock/letterlock/mailbox/observe/promobserver"
)

// Words that must get nowhere.
const (
	canaryUser    = "quetzalcoatl@canary-domain.example"
	canaryPass    = "Tlahuizcalpantecuhtli"
	canarySender  = "xochipilli@canary-sender.example"
	canaryFolder  = "Huitzilopochtli"
	canaryFlag    = "$Coatlicue"
	canarySubject = "Mictlantecuhtli"
	canaryText    = "Chalchiuhtlicue"
)

var canaries = []string{
	"quetzalcoatl", "canary-domain", canaryPass, "xochipilli", "canary-sender",
	canaryFolder, "Coatlicue", canarySubject, canaryText,
}

// notes are everything that was told, as text.
type notes struct {
	mu    sync.Mutex // protects what follows
	text  bytes.Buffer
	kinds map[string]int
	open  map[string]int // sessions and spans that did not end
}

func (n *notes) note(kind string, v any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kinds[kind]++
	fmt.Fprintf(&n.text, "%s %+v %#v\n", kind, v, v)
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) Request(r observe.Request)   { n.note("request", r) }
func (n *notes) Commit(c observe.Commit)     { n.note("commit", c) }
func (n *notes) Replay(r observe.Replay)     { n.note("replay", r) }
func (n *notes) Snapshot(s observe.Snapshot) { n.note("snapshot", s) }
func (n *notes) Delivery(d observe.Delivery) { n.note("delivery", d) }
func (n *notes) Session(s observe.Session) {
	n.note("session "+s.Protocol.String()+" "+s.Change.String(), s)
}

func (n *notes) Start(ctx context.Context, op string) (context.Context, func(bool)) {
	n.note("span "+op, op)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open[op]++
	return ctx, func(bool) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.open[op]--
	}
}

// both tells two observers.
type both struct {
	observe.Observer
	other observe.Observer
}

func (b both) Request(r observe.Request)   { b.Observer.Request(r); b.other.Request(r) }
func (b both) Commit(c observe.Commit)     { b.Observer.Commit(c); b.other.Commit(c) }
func (b both) Replay(r observe.Replay)     { b.Observer.Replay(r); b.other.Replay(r) }
func (b both) Snapshot(s observe.Snapshot) { b.Observer.Snapshot(s); b.other.Snapshot(s) }
func (b both) Session(s observe.Session)   { b.Observer.Session(s); b.other.Session(s) }
func (b both) Delivery(d observe.Delivery) { b.Observer.Delivery(d); b.other.Delivery(d) }

// Nothing of a mail, and no name or address, gets into metrics, spans, events and
// logs of the default level, whatever is done and whatever goes wrong.
func TestNothingOfAMailIsTold(t *testing.T) {
	ctx := t.Context()
	n := &notes{kinds: map[string]int{}, open: map[string]int{}}
	registry := prometheus.NewRegistry()
	metrics, err := promobserver.New(registry)
	require.NoError(t, err)
	hooks := observe.Hooks{Observer: both{n, metrics}, Tracer: n}
	logger := slog.New(slog.NewTextHandler(n, nil))
	blobs := memblob.New()
	store, err := mailbox.Open(ctx, observeblob.Wrap(blobs, hooks), mailbox.Options{
		Logger: logger, Observe: hooks, Password: crypto.PasswordParams{Time: 5, Memory: 7168, Threads: 1},
	})
	require.NoError(t, err)
	require.NoError(t, metrics.Watch(store))
	require.NoError(t, store.CreateAccount(ctx, canaryUser, []byte(canaryPass)))

	lmtp := lmtpadapter.NewServer(&lmtpadapter.Options{Store: store, Logger: logger})
	imapServer := server.New(&server.Options{Store: store, Logger: logger, LoginDelay: -1})
	lmtpAt, imapAt := listen(t, lmtp.Serve), listen(t, imapServer.Serve)
	deliverCanaries(t, lmtpAt)
	readCanaries(t, imapAt, n)
	// A damaged store, which makes errors.
	damage(t, blobs)
	deliverCanaries(t, lmtpAt)
	c, err := imapclient.DialInsecure(imapAt, nil)
	require.NoError(t, err)
	_ = c.Login(canaryUser, canaryPass).Wait()
	_ = c.Close()
	require.NoError(t, imapServer.Close())
	require.NoError(t, lmtp.Close())
	require.NoError(t, store.Close())

	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		fmt.Fprintln(n, f.String())
	}
	all := strings.ToLower(n.text.String())
	for _, word := range canaries {
		require.NotContains(t, all, strings.ToLower(word))
	}
	for _, kind := range []string{
		"request", "commit", "replay", "snapshot", "delivery", "session imap begun", "session imap login", "session imap login refused",
		"session imap idle begun", "session lmtp begun", "session lmtp recipient refused",
		"span imap LOGIN", "span mailbox login", "span mailbox deliver", "span mailbox commit", "span mailbox snapshot",
		"span lmtp message", "span store create body", "span imap UID STORE",
	} {
		require.Positive(t, n.kinds[kind], "%s was never told: the test looks at nothing", kind)
	}
	for _, p := range []string{"imap", "lmtp"} {
		require.Equal(t, n.kinds["session "+p+" begun"], n.kinds["session "+p+" ended"], p)
	}
	require.Equal(t, n.kinds["session imap idle begun"], n.kinds["session imap idle ended"])
	for op, open := range n.open {
		require.Zero(t, open, "%s did not end", op)
	}
}

func listen(t *testing.T, serve func(net.Listener) error) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = serve(ln)
	}()
	t.Cleanup(func() { <-done })
	return ln.Addr().String()
}

func deliverCanaries(t *testing.T, at string) {
	t.Helper()
	conn, err := net.Dial("tcp", at)
	require.NoError(t, err)
	c := smtp.NewClientLMTP(conn)
	defer c.Close()
	require.NoError(t, c.Mail(canarySender, nil))
	require.Error(t, c.Rcpt("nobody-"+canaryUser, nil))
	if c.Rcpt(canaryUser, nil) != nil {
		return // the store is damaged
	}
	w, err := c.Data()
	require.NoError(t, err)
	_, err = fmt.Fprintf(w, "From: %s\r\nTo: %s\r\nSubject: %s\r\n\r\n%s\r\n", canarySender, canaryUser, canarySubject, canaryText)
	require.NoError(t, err)
	_ = w.Close()
}

func readCanaries(t *testing.T, at string, n *notes) {
	t.Helper()
	c, err := imapclient.DialInsecure(at, nil)
	require.NoError(t, err)
	defer c.Close()
	require.Error(t, c.Login(canaryUser, "not "+canaryPass).Wait())
	require.NoError(t, c.Login(canaryUser, canaryPass).Wait())
	require.NoError(t, c.Create(canaryFolder, nil).Wait())
	require.Error(t, c.Create(canaryFolder, nil).Wait())
	_, err = c.Select("INBOX", nil).Wait()
	require.NoError(t, err)
	one := imap.UIDSetNum(1)
	require.NoError(t, c.Store(one, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{canaryFlag}}, nil).Close())
	_, err = c.Copy(one, canaryFolder).Wait()
	require.NoError(t, err)
	_, err = c.UIDSearch(&imap.SearchCriteria{Text: []string{canaryText}}, nil).Wait()
	require.NoError(t, err)
	for range 40 { // enough for a snapshot when the account is closed
		require.NoError(t, c.Store(one, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close())
		require.NoError(t, c.Store(one, &imap.StoreFlags{Op: imap.StoreFlagsDel, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close())
	}
	idle, err := c.Idle()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.kinds["session imap idle begun"] > 0
	}, 30*time.Second, time.Millisecond)
	require.NoError(t, idle.Close())
	require.NoError(t, idle.Wait())
	require.NoError(t, c.Logout().Wait())
}

// damage takes the entries and the slots away.
func damage(t *testing.T, blobs *memblob.Store) {
	t.Helper()
	var names []string
	for info, err := range blobs.List(t.Context(), "acct/", "") {
		require.NoError(t, err)
		if strings.Contains(info.Name, "/log/") || strings.Contains(info.Name, "/slot/") {
			names = append(names, info.Name)
		}
	}
	require.NotEmpty(t, names)
	require.NoError(t, blobs.Delete(t.Context(), names...))
}

// Who watches nothing pays nothing.
func TestNobodyWatchesForFree(t *testing.T) {
	var h observe.Hooks
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		h.Session(observe.IMAP, observe.Begun)
		_, end := h.Start(ctx, observe.SpanCommit)
		end(true)
		_ = h.Now()
	}))
}

func TestWordsAreDifferent(t *testing.T) {
	seen := map[string]bool{}
	for i := range uint8(255) {
		for list, word := range map[string]string{
			"result": observe.Result(i).String(), "op": observe.Op(i).String(), "kind": observe.Kind(i).String(),
			"protocol": observe.Protocol(i).String(), "change": observe.Change(i).String(),
		} {
			require.NotEmpty(t, word)
			if word != "unknown" {
				require.False(t, seen[list+" "+word], "%s %s", list, word)
			}
			seen[list+" "+word] = true
		}
	}
}
