package imapadapter_test

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-sasl"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/imapadapter"
)

// A program that embeds the interface has the methods of that, and offers no more.
func TestWrappedInterface(t *testing.T) {
	type wrapper struct{ imapserver.Session }
	for _, bare := range []bool{true, false} {
		w := newWorld(t, nil)
		w.bare = bare
		w.caps = imapadapter.Caps(wrapper{})
		w.wrap = func(s *imapadapter.Session) imapserver.Session { return wrapper{s} }
		p := w.enter("INBOX")
		caps := p.ok("CAPABILITY")[0]
		for _, missing := range []string{"IMAP4rev2", "MOVE", "NAMESPACE", "UNAUTHENTICATE"} {
			assert.NotContains(t, caps, " "+missing)
		}
		w.fill("INBOX", 2)
		assert.Equal(t, []string{"* 2 EXISTS", "* 2 RECENT"}, p.ok("NOOP"))
		assert.Equal(t, []string{"* SEARCH 2"}, p.ok("SEARCH SUBJECT 2"))
		p.ok("COPY 1 INBOX")
	}
}

// audited is a session that refuses to delete mailboxes.
type audited struct {
	*imapadapter.Session
	refused *[]string
}

func (a audited) Delete(name string) error {
	*a.refused = append(*a.refused, name)
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNoPerm, Text: "Ask the archivist"}
}

// A program that embeds the Session has all of its methods, and replaces some.
func TestWrappedSession(t *testing.T) {
	w := newWorld(t, nil)
	var refused []string
	w.caps = imapadapter.Caps(audited{})
	w.wrap = func(s *imapadapter.Session) imapserver.Session { return audited{s, &refused} }
	p := w.enter("")
	assert.Contains(t, p.ok("CAPABILITY")[0], " IMAP4rev2 ")
	p.ok("CREATE box")
	p.no("DELETE box", "NOPERM")
	assert.Equal(t, []string{"box"}, refused)
	p.ok("NAMESPACE")
	p.ok("UNAUTHENTICATE")
}

// A forwarder passes on each call and notes its name.
type forwarder struct {
	s  *imapadapter.Session
	mu *sync.Mutex
	n  map[string]int
}

func (f forwarder) saw(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n[name]++
}

func (f forwarder) Close() error { f.saw("Close"); return f.s.Close() }
func (f forwarder) Login(user, secret string) error {
	f.saw("Login")
	return f.s.Login(user, secret)
}
func (f forwarder) Select(m string, o *imap.SelectOptions) (*imap.SelectData, error) {
	f.saw("Select")
	return f.s.Select(m, o)
}
func (f forwarder) Create(m string, o *imap.CreateOptions) error {
	f.saw("Create")
	return f.s.Create(m, o)
}
func (f forwarder) Delete(m string) error { f.saw("Delete"); return f.s.Delete(m) }
func (f forwarder) Rename(m, to string, o *imap.RenameOptions) error {
	f.saw("Rename")
	return f.s.Rename(m, to, o)
}
func (f forwarder) Subscribe(m string) error   { f.saw("Subscribe"); return f.s.Subscribe(m) }
func (f forwarder) Unsubscribe(m string) error { f.saw("Unsubscribe"); return f.s.Unsubscribe(m) }
func (f forwarder) List(w *imapserver.ListWriter, ref string, patterns []string, o *imap.ListOptions) error {
	f.saw("List")
	return f.s.List(w, ref, patterns, o)
}
func (f forwarder) Status(m string, o *imap.StatusOptions) (*imap.StatusData, error) {
	f.saw("Status")
	return f.s.Status(m, o)
}
func (f forwarder) Append(m string, r imap.LiteralReader, o *imap.AppendOptions) (*imap.AppendData, error) {
	f.saw("Append")
	return f.s.Append(m, r, o)
}
func (f forwarder) Poll(w *imapserver.UpdateWriter, expunge bool) error {
	f.saw("Poll")
	return f.s.Poll(w, expunge)
}
func (f forwarder) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	f.saw("Idle")
	return f.s.Idle(w, stop)
}
func (f forwarder) Unselect() error { f.saw("Unselect"); return f.s.Unselect() }
func (f forwarder) Expunge(w *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	f.saw("Expunge")
	return f.s.Expunge(w, uids)
}
func (f forwarder) Search(k imapserver.NumKind, c *imap.SearchCriteria, o *imap.SearchOptions) (*imap.SearchData, error) {
	f.saw("Search")
	return f.s.Search(k, c, o)
}
func (f forwarder) Fetch(w *imapserver.FetchWriter, set imap.NumSet, o *imap.FetchOptions) error {
	f.saw("Fetch")
	return f.s.Fetch(w, set, o)
}
func (f forwarder) Store(w *imapserver.FetchWriter, set imap.NumSet, c *imap.StoreFlags, o *imap.StoreOptions) error {
	f.saw("Store")
	return f.s.Store(w, set, c, o)
}
func (f forwarder) Copy(set imap.NumSet, m string) (*imap.CopyData, error) {
	f.saw("Copy")
	return f.s.Copy(set, m)
}
func (f forwarder) Move(w *imapserver.MoveWriter, set imap.NumSet, m string) error {
	f.saw("Move")
	return f.s.Move(w, set, m)
}
func (f forwarder) Namespace() (*imap.NamespaceData, error) {
	f.saw("Namespace")
	return f.s.Namespace()
}
func (f forwarder) AuthenticateMechanisms() []string {
	f.saw("AuthenticateMechanisms")
	return f.s.AuthenticateMechanisms()
}
func (f forwarder) Authenticate(m string) (sasl.Server, error) {
	f.saw("Authenticate")
	return f.s.Authenticate(m)
}
func (f forwarder) Unauthenticate() error { f.saw("Unauthenticate"); return f.s.Unauthenticate() }
func (f forwarder) AppendLimit() uint32   { f.saw("AppendLimit"); return f.s.AppendLimit() }

// Every command reaches a wrapper that forwards every call, also behind the guard.
func TestForwardedCalls(t *testing.T) {
	w := newWorld(t, nil)
	calls := forwarder{mu: new(sync.Mutex), n: map[string]int{}}
	w.caps = imapadapter.Caps(forwarder{})
	closed := make(chan struct{})
	w.wrap = func(s *imapadapter.Session) imapserver.Session {
		return closing{forwarder{s, calls.mu, calls.n}, closed}
	}
	p := w.dial()
	p.ok("AUTHENTICATE PLAIN AGFsaWNlQGxldHRlcnMuZXhhbXBsZQBjb3JyZWN0IGhvcnNl")
	p.ok("UNAUTHENTICATE")
	p.ok(fmt.Sprintf("LOGIN %s %q", user, password))
	for _, command := range strings.Split("CREATE a|RENAME a b|SUBSCRIBE b|UNSUBSCRIBE b|LIST \"\" *|STATUS b (MESSAGES)|NAMESPACE|"+
		"APPEND b {2+}\r\nhi|SELECT b|SEARCH ALL|FETCH 1 FLAGS|STORE 1 +FLAGS (\\Deleted)|COPY 1 b|MOVE 2 INBOX|EXPUNGE|UNSELECT|DELETE b", "|") {
		p.ok(command)
	}
	p.send("i IDLE\r\n")
	require.Equal(t, "+ idling", p.line())
	p.send("DONE\r\n")
	_, answer := p.until("i ")
	require.Equal(t, "OK IDLE completed", answer)
	p.ok("LOGOUT")
	<-closed
	calls.mu.Lock()
	defer calls.mu.Unlock()
	methods := reflect.TypeFor[forwarder]()
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		assert.Positive(t, calls.n[name], name)
	}
}

// closing signals that the session was closed.
type closing struct {
	forwarder
	closed chan struct{}
}

func (c closing) Close() error { defer close(c.closed); return c.forwarder.Close() }
