package imapadapter

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/mailbox"
)

// Defaults of [Options].
const (
	defaultAppendLimit = 100 << 20
	defaultLoginDelay  = time.Second
	defaultTimeout     = 5 * time.Minute
)

const (
	maxLoginDelay = 10 * time.Second // a client that is merely wrong is not taken for gone

	// transferTimeout is how long a client may take for each transferBlock of a
	// literal. The engine gives five minutes for a whole one, which a slow line
	// cannot keep for a large message.
	transferTimeout = 2 * time.Minute
	transferBlock   = 32 << 10
)

// Options are the options of [New]. One of Store and Authenticate is needed, all else
// has a default. They must not be changed after New.
type Options struct {
	// Store is where names and secrets are looked up.
	Store *mailbox.Store

	// Authenticate, if set, is asked in place of Store.LoginFrom. It returns an open
	// account, which the session closes, or an error: [mailbox.ErrAuth] for a wrong
	// name or secret, an imap.Error to choose the answer, anything else for trouble.
	// secret is what the client sent: a password, or the token of OAUTHBEARER. It
	// must not be kept.
	Authenticate func(ctx context.Context, user string, secret []byte) (*mailbox.Account, error)

	// AppendLimit is the longest message that APPEND takes, in bytes. 0 means what
	// Store takes, which is also the most; without a Store 100 MiB.
	AppendLimit int64

	// LoginDelay is by how much the answer to a failed login is delayed; each
	// further one of the connection is delayed by as much more, up to ten seconds.
	// 0 means one second, a negative number no delay.
	LoginDelay time.Duration

	// Timeout bounds the work on one command: within this time it must end or make
	// progress, that is hand a message to the client or take a block of one. 0
	// means five minutes.
	Timeout time.Duration

	// Logger gets trouble: which session and command, and the error, which holds no
	// name, address, or content; failed logins with the remote address. Nil means no
	// log.
	Logger *slog.Logger
}

// Backend makes the sessions of an engine. Its methods may be called from many
// goroutines.
type Backend struct{ o Options }

// New returns a backend. It panics if o has neither a Store nor Authenticate.
func New(o *Options) *Backend {
	if o == nil || o.Store == nil && o.Authenticate == nil {
		panic("imapadapter: options need a Store or Authenticate")
	}
	b := &Backend{o: *o}
	limit := int64(defaultAppendLimit)
	if o.Store != nil {
		limit = o.Store.MaxMessage()
		b.o.AppendLimit = min(b.o.AppendLimit, limit)
	}
	b.o.AppendLimit = min(orDefault(b.o.AppendLimit, limit), math.MaxUint32)
	b.o.LoginDelay = orDefault(b.o.LoginDelay, defaultLoginDelay)
	b.o.Timeout = orDefault(b.o.Timeout, defaultTimeout)
	b.o.Logger = orDefault(b.o.Logger, slog.New(slog.DiscardHandler))
	return b
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// NewSession is for the engine's Options.NewSession.
func (b *Backend) NewSession(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
	return b.Session(c), nil, nil
}

// Session returns the session of a connection, for programs that wrap it: the engine
// must call the wrapper's methods only, and must call Close. A wrapper that embeds
// *Session has all of its methods; one that embeds the interface imapserver.Session has
// fewer, and offers what [Caps] returns for it.
func (b *Backend) Session(c *imapserver.Conn) *Session { return newSession(&b.o, c) }

// Caps returns the capabilities of sessions of the type of s, for the engine's
// Options.Caps: s may be a nil pointer. The engine refuses to serve a session that lacks
// a method for one of its capabilities. It adds those that it brings itself (IDLE,
// ENABLE, UNSELECT, SASL-IR, LITERAL-, UTF8=ACCEPT), the mechanisms of AUTHENTICATE, and
// APPENDLIMIT. LITERAL+ is not among them: only behind the guard may it be offered.
func Caps(s imapserver.Session) imap.CapSet {
	caps := imap.CapSet{
		imap.CapIMAP4rev1:        {},
		imap.CapUIDPlus:          {}, // RFC 4315
		imap.CapESearch:          {}, // RFC 4731
		imap.CapSearchRes:        {}, // RFC 5182
		imap.CapListExtended:     {}, // RFC 5258
		imap.CapListStatus:       {}, // RFC 5819
		imap.CapStatusSize:       {}, // RFC 8438
		imap.CapBinary:           {}, // RFC 3516
		imap.CapChildren:         {}, // RFC 3348
		imap.CapSpecialUse:       {}, // RFC 6154
		imap.CapCreateSpecialUse: {}, // RFC 6154
	}
	if _, ok := s.(imapserver.SessionIMAP4rev2); ok {
		caps[imap.CapIMAP4rev2] = struct{}{}
	}
	if _, ok := s.(imapserver.SessionNamespace); ok {
		caps[imap.CapNamespace] = struct{}{} // RFC 2342
	}
	if _, ok := s.(imapserver.SessionMove); ok {
		caps[imap.CapMove] = struct{}{} // RFC 6851
	}
	if _, ok := s.(imapserver.SessionUnauthenticate); ok {
		caps[imap.CapUnauthenticate] = struct{}{} // RFC 8437
	}
	return caps
}
