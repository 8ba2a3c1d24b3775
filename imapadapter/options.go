package imapadapter

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/observe"
)

// Defaults of [Options].
const (
	defaultLoginDelay = time.Second
	defaultTimeout    = 5 * time.Minute
)

const (
	// maxLoginDelay bounds the wait after failed logins, so that a client that
	// is merely wrong is not taken for gone.
	maxLoginDelay = 10 * time.Second

	// transferTimeout is how long a client may take for each transferBlock of a
	// literal. The engine gives five minutes for a whole one, which a slow line
	// cannot keep for a large message.
	transferTimeout = 2 * time.Minute
	transferBlock   = 32 << 10

	// maxHeaderRead bounds the header block that HEADER.FIELDS selects from. A
	// longer one is cut there: only hostile mail has it.
	maxHeaderRead = 1 << 20
)

// Options are the options of [NewServer] and [NewSession]. One of Store and
// Authenticate is needed, all else has a default. They must not be changed once
// they were given away.
type Options struct {
	// Store is where names and secrets are looked up.
	Store *mailbox.Store

	// Authenticate, if set, is asked in place of Store.Login. It returns an open
	// account that the session closes, or an error: [mailbox.ErrAuth] for a wrong
	// name or secret, anything else for trouble. secret is what the client gave:
	// a password, or the token of OAUTHBEARER. It must not be kept.
	Authenticate func(ctx context.Context, user string, secret []byte) (*mailbox.Account, error)

	// AppendLimit is the longest message that APPEND takes, in bytes. 0 means
	// what Store takes, which is also the most; without a Store 100 MiB.
	AppendLimit int64

	// LoginDelay is how long a failed login is answered late; each further one of
	// the connection as much later, up to ten seconds. 0 means one second, a
	// negative number no delay.
	LoginDelay time.Duration

	// Timeout bounds the work on one command, in which time it must end or make
	// progress: hand a message to the client, or take a block of one. 0 means
	// five minutes.
	Timeout time.Duration

	// Logger is told of trouble: which session and command, and the error, which
	// holds no name, address, or content. Nil means no log.
	Logger *slog.Logger

	// Observe is told of sessions, and traces commands. The zero value means what
	// watches the Store, if there is one.
	Observe observe.Hooks

	// Guard are the options of the guard, of [Server] only. Its AppendLimit is
	// set to the one above, and its Logger too unless it has one.
	Guard GuardOptions
}

func (o *Options) withDefaults() *Options {
	c := *o
	limit := int64(defaultAppendLimit)
	if c.Store != nil {
		limit = c.Store.MaxMessage()
		c.AppendLimit = min(c.AppendLimit, limit)
	}
	c.AppendLimit = min(orDefault(c.AppendLimit, limit), math.MaxUint32)
	c.LoginDelay = orDefault(c.LoginDelay, defaultLoginDelay)
	c.Timeout = orDefault(c.Timeout, defaultTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if !c.Observe.Watched() && !c.Observe.Traced() && c.Store != nil {
		c.Observe = c.Store.Hooks()
	}
	c.Guard.Observe = c.Observe
	if c.Authenticate == nil {
		c.Authenticate = c.Store.Login
	}
	c.Guard.AppendLimit = c.AppendLimit
	if c.Guard.Logger == nil {
		c.Guard.Logger = c.Logger
	}
	return &c
}

// Caps returns the capabilities that a Session has, for the options of an engine
// that [NewSession] is given to. The engine adds those that it brings itself
// (IDLE, ENABLE, UNSELECT, SASL-IR, LITERAL-, UTF8=ACCEPT), the mechanisms of
// AUTHENTICATE, and APPENDLIMIT. LITERAL+ is not among them: only a connection
// that is [Guarded] may have it.
func Caps() imap.CapSet {
	return imap.CapSet{
		imap.CapIMAP4rev1:        {},
		imap.CapIMAP4rev2:        {},
		imap.CapNamespace:        {}, // RFC 2342
		imap.CapUIDPlus:          {}, // RFC 4315
		imap.CapESearch:          {}, // RFC 4731
		imap.CapSearchRes:        {}, // RFC 5182
		imap.CapListExtended:     {}, // RFC 5258
		imap.CapListStatus:       {}, // RFC 5819
		imap.CapMove:             {}, // RFC 6851
		imap.CapStatusSize:       {}, // RFC 8438
		imap.CapBinary:           {}, // RFC 3516
		imap.CapChildren:         {}, // RFC 3348
		imap.CapSpecialUse:       {}, // RFC 6154
		imap.CapCreateSpecialUse: {}, // RFC 6154
		imap.CapUnauthenticate:   {}, // RFC 8437
	}
}
