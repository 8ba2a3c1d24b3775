package lmtpadapter

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/emersion/go-smtp"

	"github.com/letterlock/letterlock/mailbox/observe"
)

// Backend is the part behind go-smtp: a [smtp.Backend] whose sessions deliver to
// a store. It is safe for concurrent use, as go-smtp uses it.
type Backend struct {
	o     Options
	store deliverer
	ctx   context.Context // of every look-up and delivery
}

var _ smtp.Backend = (*Backend)(nil)

// NewBackend returns a backend for a go-smtp server of the caller's own, which
// must have LMTP set. It panics if o.Store is nil.
//
// That server decides on the greeting, timeouts, TLS and the size it announces;
// of Options it leaves Domain for Received lines, Logger, MaxMessage,
// MaxRecipients, DeliverTimeout, Domains, Resolve and Now. Without [Server] in
// front of the engine, messages sent with BDAT are refused (554 5.3.3), because
// the engine cannot tell one that is whole from one whose connection broke; a
// message with lines beyond MaxLineLength, or with CR CR LF, meets the engine's
// limits; and its Shutdown waits for idle clients.
func NewBackend(o *Options) *Backend {
	if o.Store == nil {
		panic("lmtpadapter: Options.Store is nil")
	}
	return newBackend(context.Background(), o, o.Store)
}

func newBackend(ctx context.Context, o *Options, store deliverer) *Backend {
	b := &Backend{o: o.filled(store), store: store, ctx: ctx}
	if o.Store != nil && !o.Observe.Watched() && !o.Observe.Traced() {
		b.o.Observe = o.Store.Hooks()
	}
	return b
}

// NewSession is called by go-smtp after LHLO. A server that is not set up for
// LMTP has no session: without an answer for each recipient, one of several that
// failed could not be told.
func (b *Backend) NewSession(c *smtp.Conn) (smtp.Session, error) {
	if !c.Server().LMTP {
		return nil, errNotLMTP
	}
	s := &session{b: b, c: c}
	b.o.Observe.Session(observe.LMTP, observe.Begun)
	s.ctx, s.cancel = context.WithCancel(b.ctx)
	if w, ok := c.Conn().(*wire); ok {
		s.w = w
		w.sess = s
	}
	return s, nil
}

// newID returns the id of one message, for the log, the answers and the Received
// line.
func newID() string {
	var id [8]byte
	rand.Read(id[:]) // never fails: see its documentation
	return hex.EncodeToString(id[:])
}
