package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Importer moves mail in from elsewhere: many messages in one entry of the log,
// their bodies stored several at a time, with the UIDs that clients know. It
// knows what of a source was imported before, also by a process that was killed.
// An account should have one at a time; two would not see each other's messages.
type Importer struct {
	handle *Account
	key    crypto.Key
	have   origins
}

// ImportMessage is a message to be imported.
type ImportMessage struct {
	// Origin tells the message from all others, wherever they come from: a server's
	// name, a mailbox, its UIDVALIDITY and the UID, for example. A message of an
	// origin that is in the account is not added again.
	Origin string
	Name   string // for the caller, as is Weight
	Weight int64
	Flags  []string
	Date   time.Time // INTERNALDATE; the zero time is now
	UID    UID       // kept if it can be; 0: the next one

	// Open returns the message's bytes. It is called once, in another goroutine, and
	// what it returns is closed; for a message that is in the account it is not.
	Open func() (io.ReadCloser, error)
}

// Imported says what became of a message.
type Imported struct {
	Present  bool  // it was in the account already
	UID      UID   // that it has, if it was added
	Keywords int   // that did not fit into the mailbox, and were left out
	Err      error // why it was not added
}

// ImportOptions say how to import into one mailbox.
type ImportOptions struct {
	// UIDValidity is that of the mailbox which the messages come from, 0 if it had
	// none. If the mailbox here never held a message it takes the value over, and
	// the messages their UIDs, so that clients need not download them again.
	UIDValidity uint32
	UIDNext     UID // at the source; once all are imported no UID below is given to another message

	// Done is told of each message, in their order: when it is durable, when it
	// was there already, or when it could not be read or taken. An error that it
	// returns ends the import. Without Done the first bad message ends it.
	Done func(ImportMessage, Imported) error
}

// ImportResult is what an import into one mailbox did.
type ImportResult struct {
	Added, Present, Failed int
	Renumbered             int  // had a UID and got another, as UIDs were not kept or it was taken
	KeptUIDs               bool // the mailbox has the source's UIDVALIDITY
}

// Bounds of an import.
const (
	importEntry   = 256     // messages of one entry
	importBytes   = 1 << 20 // of metadata and flags of one entry, about
	importBodies  = 8       // bodies that are stored at the same time
	maxKeptUIDVal = 1<<32 - 1<<24
)

// Importer returns an Importer for the account. It reads which messages there
// are, and keeps 12 bytes of each.
func (h *Account) Importer(ctx context.Context) (*Importer, error) {
	a, err := h.fresh(ctx)
	if err != nil {
		return nil, err
	}
	defer a.leave()
	have, err := a.origins(ctx)
	if err != nil {
		return nil, fmt.Errorf("mailbox: import: %w", err)
	}
	return &Importer{handle: h, key: originKey(a.first()), have: have}, nil
}

// Has reports whether a message of an origin was in the account when the
// Importer was made.
func (im *Importer) Has(text string) bool { return im.have.has(newOrigin(im.key, text)) }

// Import adds messages to a mailbox, which it makes if it is missing. Their order
// is that of their UIDs. What it says is added is durable; it goes on past
// messages that cannot be read or taken as long as Done wants it, and ends with
// the first error of the store, with [ErrOverQuota], or that messages yields because there are more that
// cannot be had. After an error it can be run again, and goes on; no other
// message should come into the mailbox meanwhile, it would take a UID.
func (im *Importer) Import(ctx context.Context, mailbox string, messages iter.Seq2[ImportMessage, error], o ImportOptions) (ImportResult, error) {
	var res ImportResult
	mailbox, err := CanonicalName(mailbox)
	if err != nil {
		return res, err
	}
	a, err := im.handle.use()
	if err != nil {
		return res, err
	}
	defer a.leave()
	if o.Done == nil {
		o.Done = func(_ ImportMessage, got Imported) error { return got.Err }
	}
	if res.KeptUIDs, err = a.prepareImport(ctx, mailbox, o.UIDValidity); err != nil {
		return res, err
	}
	if !res.KeptUIDs {
		o.UIDNext = 0
	}
	b := &importBatch{account: a, key: im.key, mailbox: mailbox, options: o, res: &res}
	for m, broken := range messages {
		if err = ctx.Err(); err != nil {
			break
		}
		switch {
		case broken != nil:
			return res, errors.Join(broken, b.flush(ctx))
		case im.Has(m.Origin):
			res.Present++
			err = o.Done(m, Imported{Present: true})
		default:
			b.start(ctx, m)
			if b.full() {
				err = b.flush(ctx)
			}
		}
		if err != nil {
			break
		}
	}
	if err != nil {
		b.drop(ctx)
		return res, err
	}
	b.last = true
	return res, b.flush(ctx)
}

// prepareImport makes the mailbox, or renews it, and reports whether it has the
// source's UIDVALIDITY.
func (a *account) prepareImport(ctx context.Context, mailbox string, validity uint32) (kept bool, err error) {
	if validity > maxKeptUIDVal {
		validity = 0 // the account could make no mailboxes any more
	}
	err = a.commit(ctx, func(ctx context.Context, s *state.Account, at ModSeq) (state.Event, error) {
		m := s.ByName(mailbox)
		kept = validity != 0 && (m == nil || m.Unused() || m.UIDValidity == validity)
		switch {
		case m == nil:
			if err := s.CheckRoom(mailbox); err != nil {
				return nil, err
			}
			return &state.CreateMailbox{Name: mailbox, UIDValidity: validity}, nil
		case kept && m.UIDValidity != validity:
			return &state.RenewMailbox{Mailbox: m.ID, UIDValidity: validity}, nil
		}
		return nil, nil
	})
	return kept, err
}

// sourceReader remembers that it was the source that failed, and not the store.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
