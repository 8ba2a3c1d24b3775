package state

import (
	"time"
)

// Event is a decision that took effect: which UIDs were flagged, not which were
// asked for. Applying it needs the state before it and nothing else, so every reader
// of the log arrives at the same mailboxes. [Account.Apply] refuses an event that the
// state does not allow with [ErrInvalidEvent], and the type of each event says what
// it may change.
//
// A record of the log is one event: its kind in the first byte, its fields as a
// msgpack array. The rules for changing events: a kind keeps its number and its
// fields for ever; what is new gets a new kind, and a reader that meets a kind it
// does not know stops with [eventlog.ErrNewerVersion].
//
// Every event but Genesis, CreateMailbox, Subscribe and Deliver names a mailbox that
// exists. An event that changes messages sets the MODSEQ of each, and of its mailbox,
// to the position of its entry.
type Event interface {
	Kind() byte
	fields() []any // pointers, in the order they are written
}

const (
	kindGenesis     byte = 1
	kindCreate      byte = 2
	kindDelete      byte = 3
	kindRename      byte = 4
	kindSubscribe   byte = 5
	kindAdd         byte = 6
	kindFlag        byte = 7
	kindExpunge     byte = 8
	kindCopy        byte = 9
	kindClearRecent byte = 10
	kindDeliver     byte = 11
	kindBatch       byte = 12
	kindImport      byte = 13
	kindRenew       byte = 14
	kindRenewAll    byte = 15
	kindBeginRekey  byte = 16
)

// Genesis is the first event of every account, and of no other place. It makes INBOX.
type Genesis struct {
	UIDValidity uint32 // of INBOX; later mailboxes count on from it
	Time        int64  // seconds since 1970
}

// CreateMailbox makes a mailbox, and every mailbox above it that is missing, with
// the next UIDVALIDITY or with the given one if that is not 0. No mailbox may have
// the name.
type CreateMailbox struct {
	Name        string
	SpecialUse  []string
	UIDValidity uint32
}

// DeleteMailbox removes a mailbox with its messages. INBOX cannot be deleted.
type DeleteMailbox struct{ Mailbox MailboxID }

// RenameMailbox renames a mailbox and all below it, and makes what is missing above
// the new name, which must be free. IDs, UIDs and UIDVALIDITYs stay. INBOX stays
// and is emptied: its messages become the new mailbox (RFC 9051 section 6.3.6).
type RenameMailbox struct {
	Mailbox MailboxID
	Name    string
}

// Subscribe adds a name to the subscriptions or removes it. No mailbox need have it.
type Subscribe struct {
	Name string
	On   bool
}

// AddMessages adds messages to a mailbox. Their UIDs count on from UIDNEXT. Keywords
// that the mailbox does not have are defined in it.
type AddMessages struct {
	Mailbox  MailboxID
	Time     int64
	Messages []NewMessage
}

// Deliver adds messages to the mailbox that [Account.DeliveryMailbox] finds. It is
// the one event that somebody without the account's keys may write: readers skip one
// that does not pass [Deliver.Check].
type Deliver struct {
	Folder   string // INBOX if it is empty or does not exist
	Time     int64
	Messages []NewMessage // without flags
}

// ImportMessages adds messages with the UIDs that they had elsewhere, all at or
// above UIDNEXT, and raises UIDNEXT to what it was there.
type ImportMessages struct {
	Mailbox  MailboxID
	Time     int64
	UIDs     UIDSet // one for each message, in order
	UIDNext  UID    // if it is above the last UID
	Messages []NewMessage
}

// RenewMailbox puts a new mailbox with the given UIDVALIDITY in the place of one
// that never held a message. Its name stays, its ID does not: no mailbox ever
// changes its UIDVALIDITY.
type RenewMailbox struct {
	Mailbox     MailboxID
	UIDValidity uint32
}

// RenewAll says that the account was restored from an older state. Every mailbox
// is made anew at this position, with its name, ID, messages, UIDs and flags: in
// order of their names they get UIDVALIDITYs from the one given on. IDs below
// Mailbox are not given any more.
type RenewAll struct {
	UIDValidity uint32    // not below the next one
	Mailbox     MailboxID // not below the next one
}

// NewMessage is a message that an event adds: its body is in the store before the
// event is in the log.
type NewMessage struct {
	Body  BodyRef
	Size  uint32 // bytes
	Date  int64  // INTERNALDATE, seconds since 1970 UTC
	Flags []string
	Meta  []byte // message.Message.Encode

	// Staged is when the body was about to be in the store; the zero time in an
	// event that was read. It is not written: a writer uses it to refuse an event
	// whose bodies may have been collected meanwhile.
	Staged time.Time
}

// ChangeFlags changes flags of messages, which must all be in the mailbox. Keywords
// that the mailbox does not have are defined in it, unless the operation removes.
type ChangeFlags struct {
	Mailbox MailboxID
	UIDs    UIDSet
	Op      FlagOp
	Flags   []string
}

// ExpungeMessages removes messages, which must all be in the mailbox.
type ExpungeMessages struct {
	Mailbox MailboxID
	UIDs    UIDSet
}

// CopyMessages copies or, with Move, moves messages, which must all be in From.
// They get new UIDs, also if From is To, and share their bodies and metadata.
type CopyMessages struct {
	From, To MailboxID
	UIDs     UIDSet
	Move     bool
	Time     int64 // seconds since 1970
}

// BeginRekey announces a change of the account's identity and changes nothing: of
// several changes at a time only the one that was announced last may be made.
type BeginRekey struct{ ID []byte } // random

// ClearRecent records that messages below UID have been shown to a session
// (\Recent, RFC 3501 section 2.3.2). It changes no message and no MODSEQ, and does
// nothing if the mailbox is gone. Writers send it along with other events.
type ClearRecent struct {
	Mailbox MailboxID
	UID     UID
}

// Batch is several events that take effect together, in order.
type Batch struct {
	records [][]byte // encoded events, none of them Batch, Deliver or Genesis
	Events  []Event  // the same, decoded
}

// NewBatch returns a Batch of events.
func NewBatch(events ...Event) *Batch {
	b := &Batch{Events: events}
	for _, e := range events {
		b.records = append(b.records, EncodeEvent(e))
	}
	return b
}

// parse decodes the events.
func (b *Batch) parse() error {
	for _, r := range b.records {
		e, err := DecodeEvent(r)
		if err != nil {
			return err
		}
		switch e.Kind() {
		case kindBatch, kindDeliver, kindGenesis:
			return errMalformedEvent
		}
		b.Events = append(b.Events, e)
	}
	return nil
}

func (*Genesis) Kind() byte         { return kindGenesis }
func (*CreateMailbox) Kind() byte   { return kindCreate }
func (*DeleteMailbox) Kind() byte   { return kindDelete }
func (*RenameMailbox) Kind() byte   { return kindRename }
func (*Subscribe) Kind() byte       { return kindSubscribe }
func (*AddMessages) Kind() byte     { return kindAdd }
func (*ChangeFlags) Kind() byte     { return kindFlag }
func (*ExpungeMessages) Kind() byte { return kindExpunge }
func (*CopyMessages) Kind() byte    { return kindCopy }
func (*ClearRecent) Kind() byte     { return kindClearRecent }
func (*Deliver) Kind() byte         { return kindDeliver }
func (*Batch) Kind() byte           { return kindBatch }
func (*ImportMessages) Kind() byte  { return kindImport }
func (*RenewAll) Kind() byte        { return kindRenewAll }
func (*RenewMailbox) Kind() byte    { return kindRenew }
func (*BeginRekey) Kind() byte      { return kindBeginRekey }

func (e *Genesis) fields() []any         { return []any{&e.UIDValidity, &e.Time} }
func (e *CreateMailbox) fields() []any   { return []any{&e.Name, &e.SpecialUse, &e.UIDValidity} }
func (e *DeleteMailbox) fields() []any   { return []any{&e.Mailbox} }
func (e *RenameMailbox) fields() []any   { return []any{&e.Mailbox, &e.Name} }
func (e *Subscribe) fields() []any       { return []any{&e.Name, &e.On} }
func (e *AddMessages) fields() []any     { return []any{&e.Mailbox, &e.Time, &e.Messages} }
func (e *ChangeFlags) fields() []any     { return []any{&e.Mailbox, &e.UIDs, &e.Op, &e.Flags} }
func (e *ExpungeMessages) fields() []any { return []any{&e.Mailbox, &e.UIDs} }
func (e *CopyMessages) fields() []any    { return []any{&e.From, &e.To, &e.UIDs, &e.Move, &e.Time} }
func (e *ClearRecent) fields() []any     { return []any{&e.Mailbox, &e.UID} }
func (e *Deliver) fields() []any         { return []any{&e.Folder, &e.Time, &e.Messages} }
func (e *Batch) fields() []any           { return []any{&e.records} }
func (e *RenewAll) fields() []any        { return []any{&e.UIDValidity, &e.Mailbox} }
func (e *RenewMailbox) fields() []any    { return []any{&e.Mailbox, &e.UIDValidity} }
func (e *BeginRekey) fields() []any      { return []any{&e.ID} }
func (e *ImportMessages) fields() []any {
	return []any{&e.Mailbox, &e.Time, &e.UIDs, &e.UIDNext, &e.Messages}
}

// NewEvent returns an empty event of a kind, nil if there is no such kind.
func NewEvent(kind byte) Event {
	switch kind {
	case kindGenesis:
		return new(Genesis)
	case kindCreate:
		return new(CreateMailbox)
	case kindDelete:
		return new(DeleteMailbox)
	case kindRename:
		return new(RenameMailbox)
	case kindSubscribe:
		return new(Subscribe)
	case kindAdd:
		return new(AddMessages)
	case kindFlag:
		return new(ChangeFlags)
	case kindExpunge:
		return new(ExpungeMessages)
	case kindCopy:
		return new(CopyMessages)
	case kindClearRecent:
		return new(ClearRecent)
	case kindDeliver:
		return new(Deliver)
	case kindBatch:
		return new(Batch)
	case kindImport:
		return new(ImportMessages)
	case kindRenew:
		return new(RenewMailbox)
	case kindRenewAll:
		return new(RenewAll)
	case kindBeginRekey:
		return new(BeginRekey)
	}
	return nil
}
