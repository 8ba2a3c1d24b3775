package mailbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

// An event is a decision that took effect: which UIDs were flagged, not which
// were asked for. Applying it needs nothing but the state before it, so every
// reader of the log arrives at the same mailboxes.
//
// A record of the log is one event: its kind in the first byte, its fields as a
// msgpack array. The rules for changing events: a kind keeps its number and its
// fields for ever; what is new gets a new kind, and a reader that meets a kind it
// does not know stops with eventlog.ErrNewerVersion.
type event interface {
	kind() byte
	fields() []any // pointers, in the order they are written
}

const (
	kindGenesis   byte = 1
	kindCreate    byte = 2
	kindDelete    byte = 3
	kindRename    byte = 4
	kindSubscribe byte = 5
	kindAdd       byte = 6
	kindFlag      byte = 7
	kindExpunge   byte = 8
	kindCopy      byte = 9
	kindRecent    byte = 10
	kindDeliver   byte = 11
	kindMany      byte = 12
	kindImport    byte = 13
	kindRenew     byte = 14
	kindRestored  byte = 15
)

// genesis is the first event of every account. It makes INBOX.
type genesis struct {
	UIDValidity uint32 // of INBOX; later mailboxes count on from it
	Time        int64  // seconds since 1970
}

// createMailbox makes a mailbox with the next UIDVALIDITY, or with the given
// one if that is not 0.
type createMailbox struct {
	Name        string
	SpecialUse  []string
	UIDValidity uint32
}

type deleteMailbox struct{ Mailbox MailboxID }

// renameMailbox renames a mailbox and all below it. INBOX stays and is emptied:
// its messages become the new mailbox (RFC 9051 section 6.3.6).
type renameMailbox struct {
	Mailbox MailboxID
	Name    string
}

type subscribe struct {
	Name string
	On   bool
}

// addMessages puts messages into a mailbox.
type addMessages struct {
	Mailbox  MailboxID
	Time     int64
	Messages []newMessage
}

// deliver is the one event that somebody without the account's keys may write.
type deliver struct {
	Folder   string // INBOX if it is empty or does not exist
	Time     int64
	Messages []newMessage // without flags
}

// importMessages adds messages with the UIDs that they had elsewhere, all at or
// above UIDNEXT, and raises UIDNEXT to what it was there.
type importMessages struct {
	Mailbox  MailboxID
	Time     int64
	UIDs     uidSet
	UIDNext  UID // if it is above the last UID
	Messages []newMessage
}

// renewMailbox puts a new mailbox with the given UIDVALIDITY in the place of one
// that never held a message. Its name stays, its ID does not: no mailbox ever
// changes its UIDVALIDITY.
type renewMailbox struct {
	Mailbox     MailboxID
	UIDValidity uint32
}

type newMessage struct {
	Body  bodyRef
	Size  uint32
	Date  int64
	Flags []string
	Meta  []byte // message.Message.Encode

	// staged is when the body was about to be in the store; the zero time in an
	// event that was read. It is no field: see tooLate.
	staged time.Time
}

// flagMessages changes flags of messages that are all there.
type flagMessages struct {
	Mailbox MailboxID
	UIDs    uidSet
	Op      FlagOp
	Flags   []string
}

type expungeMessages struct {
	Mailbox MailboxID
	UIDs    uidSet
}

// copyMessages copies or, with Move, moves messages that are all there.
type copyMessages struct {
	From, To MailboxID
	UIDs     uidSet
	Move     bool
	Time     int64
}

// seenRecent notes that messages below UID have been shown to a session
// (\Recent, RFC 3501 section 2.3.2). It rides along with other events.
type seenRecent struct {
	Mailbox MailboxID
	UID     UID
}

// many is several events that take effect together.
type many struct {
	records [][]byte // encoded events, none of them many, deliver or genesis
	events  []event  // the same, decoded
}

func newMany(events ...event) *many {
	m := &many{events: events}
	for _, e := range events {
		m.records = append(m.records, encodeEvent(e))
	}
	return m
}

// parse decodes the events.
func (m *many) parse() error {
	for _, r := range m.records {
		e, err := decodeEvent(r)
		if err != nil {
			return err
		}
		switch e.kind() {
		case kindMany, kindDeliver, kindGenesis:
			return errMalformed
		}
		m.events = append(m.events, e)
	}
	return nil
}

func (*genesis) kind() byte         { return kindGenesis }
func (*createMailbox) kind() byte   { return kindCreate }
func (*deleteMailbox) kind() byte   { return kindDelete }
func (*renameMailbox) kind() byte   { return kindRename }
func (*subscribe) kind() byte       { return kindSubscribe }
func (*addMessages) kind() byte     { return kindAdd }
func (*flagMessages) kind() byte    { return kindFlag }
func (*expungeMessages) kind() byte { return kindExpunge }
func (*copyMessages) kind() byte    { return kindCopy }
func (*seenRecent) kind() byte      { return kindRecent }
func (*deliver) kind() byte         { return kindDeliver }
func (*many) kind() byte            { return kindMany }
func (*importMessages) kind() byte  { return kindImport }
func (*restored) kind() byte        { return kindRestored }
func (*renewMailbox) kind() byte    { return kindRenew }

func (e *genesis) fields() []any         { return []any{&e.UIDValidity, &e.Time} }
func (e *createMailbox) fields() []any   { return []any{&e.Name, &e.SpecialUse, &e.UIDValidity} }
func (e *deleteMailbox) fields() []any   { return []any{&e.Mailbox} }
func (e *renameMailbox) fields() []any   { return []any{&e.Mailbox, &e.Name} }
func (e *subscribe) fields() []any       { return []any{&e.Name, &e.On} }
func (e *addMessages) fields() []any     { return []any{&e.Mailbox, &e.Time, &e.Messages} }
func (e *flagMessages) fields() []any    { return []any{&e.Mailbox, &e.UIDs, &e.Op, &e.Flags} }
func (e *expungeMessages) fields() []any { return []any{&e.Mailbox, &e.UIDs} }
func (e *copyMessages) fields() []any    { return []any{&e.From, &e.To, &e.UIDs, &e.Move, &e.Time} }
func (e *seenRecent) fields() []any      { return []any{&e.Mailbox, &e.UID} }
func (e *deliver) fields() []any         { return []any{&e.Folder, &e.Time, &e.Messages} }
func (e *many) fields() []any            { return []any{&e.records} }
func (e *restored) fields() []any        { return []any{&e.UIDValidity, &e.Mailbox} }
func (e *renewMailbox) fields() []any    { return []any{&e.Mailbox, &e.UIDValidity} }
func (e *importMessages) fields() []any {
	return []any{&e.Mailbox, &e.Time, &e.UIDs, &e.UIDNext, &e.Messages}
}

func newEvent(kind byte) event {
	switch kind {
	case kindGenesis:
		return new(genesis)
	case kindCreate:
		return new(createMailbox)
	case kindDelete:
		return new(deleteMailbox)
	case kindRename:
		return new(renameMailbox)
	case kindSubscribe:
		return new(subscribe)
	case kindAdd:
		return new(addMessages)
	case kindFlag:
		return new(flagMessages)
	case kindExpunge:
		return new(expungeMessages)
	case kindCopy:
		return new(copyMessages)
	case kindRecent:
		return new(seenRecent)
	case kindDeliver:
		return new(deliver)
	case kindMany:
		return new(many)
	case kindImport:
		return new(importMessages)
	case kindRenew:
		return new(renewMailbox)
	case kindRestored:
		return new(restored)
	}
	return nil
}

var errMalformed = errors.New("malformed event")

// encodeEvent returns the one encoding of an event.
func encodeEvent(e event) []byte {
	var buf bytes.Buffer
	buf.WriteByte(e.kind())
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&buf)
	enc.UseCompactInts(true)
	fields := e.fields()
	must(enc.EncodeArrayLen(len(fields)))
	for _, f := range fields {
		encodeField(enc, f)
	}
	return buf.Bytes()
}

func encodeField(enc *msgpack.Encoder, f any) {
	switch f := f.(type) {
	case *string:
		must(enc.EncodeString(*f))
	case *bool:
		must(enc.EncodeBool(*f))
	case *uint32:
		must(enc.EncodeUint(uint64(*f)))
	case *MailboxID:
		must(enc.EncodeUint(uint64(*f)))
	case *UID:
		must(enc.EncodeUint(uint64(*f)))
	case *FlagOp:
		must(enc.EncodeUint(uint64(*f)))
	case *int64:
		must(enc.EncodeInt(*f))
	case *[]byte:
		must(enc.EncodeBytes(nonNil(*f)))
	case *[]string:
		must(enc.EncodeArrayLen(len(*f)))
		for _, s := range *f {
			must(enc.EncodeString(s))
		}
	case *[][]byte:
		must(enc.EncodeArrayLen(len(*f)))
		for _, b := range *f {
			must(enc.EncodeBytes(nonNil(b)))
		}
	case *uidSet:
		must(enc.EncodeBytes(f.encode()))
	case *bodyRef:
		must(enc.EncodeBytes(f.append(nil)))
	case *[]newMessage:
		must(enc.EncodeArrayLen(len(*f)))
		for i := range *f {
			fields := (*f)[i].fields()
			must(enc.EncodeArrayLen(len(fields)))
			for _, f := range fields {
				encodeField(enc, f)
			}
		}
	default:
		panic(fmt.Sprintf("mailbox: no encoding for %T", f))
	}
}

func (m *newMessage) fields() []any { return []any{&m.Body, &m.Size, &m.Date, &m.Flags, &m.Meta} }

// decodeEvent reads what encodeEvent wrote, and nothing else.
func decodeEvent(record []byte) (event, error) {
	if len(record) == 0 {
		return nil, errMalformed
	}
	e := newEvent(record[0])
	if e == nil {
		return nil, fmt.Errorf("event of kind %d: %w", record[0], eventlog.ErrNewerVersion)
	}
	r := bytes.NewReader(record[1:])
	dec := msgpack.GetDecoder()
	defer msgpack.PutDecoder(dec)
	dec.Reset(r)
	if err := decodeFields(dec, e.fields()); err != nil {
		return nil, fmt.Errorf("%w of kind %d", errMalformed, record[0])
	}
	// One encoding per value: whatever else could be read as this event, such as
	// integers in long form or bytes at the end, is refused here.
	if !bytes.Equal(encodeEvent(e), record) {
		return nil, fmt.Errorf("%w of kind %d", errMalformed, record[0])
	}
	if m, ok := e.(*many); ok {
		if err := m.parse(); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func decodeFields(dec *msgpack.Decoder, fields []any) error {
	n, err := dec.DecodeArrayLen()
	if err != nil || n != len(fields) {
		return errMalformed
	}
	for _, f := range fields {
		if err := decodeField(dec, f); err != nil {
			return err
		}
	}
	return nil
}

func decodeField(dec *msgpack.Decoder, f any) (err error) {
	switch f := f.(type) {
	case *string:
		if *f, err = dec.DecodeString(); err == nil && !utf8.ValidString(*f) {
			err = errMalformed
		}
	case *bool:
		*f, err = dec.DecodeBool()
	case *uint32:
		*f, err = dec.DecodeUint32()
	case *MailboxID:
		err = decodeUint32(dec, (*uint32)(f))
	case *UID:
		err = decodeUint32(dec, (*uint32)(f))
	case *FlagOp:
		var op uint8
		op, err = dec.DecodeUint8()
		*f = FlagOp(op)
	case *int64:
		*f, err = dec.DecodeInt64()
	case *[]byte:
		*f, err = dec.DecodeBytes()
	case *[]string:
		return decodeSlice(dec, f, func(s *string) error { return decodeField(dec, s) })
	case *[][]byte:
		return decodeSlice(dec, f, func(b *[]byte) error { return decodeField(dec, b) })
	case *uidSet:
		var b []byte
		if b, err = dec.DecodeBytes(); err == nil {
			*f, err = decodeUIDSet(b)
		}
	case *bodyRef:
		var b []byte
		if b, err = dec.DecodeBytes(); err == nil {
			err = f.parse(b)
		}
	case *[]newMessage:
		return decodeSlice(dec, f, func(m *newMessage) error { return decodeFields(dec, m.fields()) })
	}
	return err
}

func decodeUint32(dec *msgpack.Decoder, v *uint32) (err error) {
	*v, err = dec.DecodeUint32()
	return err
}

// decodeSlice grows as elements are read, so that a length that lies costs
// nothing.
func decodeSlice[T any](dec *msgpack.Decoder, s *[]T, each func(*T) error) error {
	n, err := dec.DecodeArrayLen()
	if err != nil || n < 0 {
		return errMalformed
	}
	for range n {
		var v T
		if err := each(&v); err != nil {
			return err
		}
		*s = append(*s, v)
	}
	return nil
}

// bodyRefSize is the length of a body reference in an event or a page: the
// object's ID, the file key, the nonce, the header's length.
const bodyRefSize = 16 + 16 + 16 + 2

func (b bodyRef) append(dst []byte) []byte {
	dst = append(dst, b.id[:]...)
	dst = append(dst, b.key.File[:]...)
	dst = append(dst, b.key.Nonce[:]...)
	return binary.BigEndian.AppendUint16(dst, b.key.Header)
}

func (b *bodyRef) parse(p []byte) error {
	if len(p) != bodyRefSize {
		return errMalformed
	}
	b.id = eventlog.ObjectID(p[:16])
	b.key = crypto.BodyKey{
		File: crypto.FileKey(p[16:32]), Nonce: [16]byte(p[32:48]), Header: binary.BigEndian.Uint16(p[48:]),
	}
	return nil
}

// seconds cuts a time to what a page keeps of it: seconds since 1970 until 2106.
func seconds(unix int64) uint32 {
	return uint32(min(max(unix, 0), math.MaxUint32))
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// must is for encoders that write to memory: they fail on nothing but a mistake
// in this package.
func must(err error) {
	if err != nil {
		panic("mailbox: encode: " + err.Error())
	}
}

// recordEvents decodes the events of one record of the log, in the order in which
// they are applied. What somebody without the account's keys wrote must be a
// delivery that checks; another record of that kind is eventlog.ErrSkip.
func recordEvents(kind eventlog.Kind, record []byte) ([]event, error) {
	e, err := decodeEvent(record)
	d, delivery := e.(*deliver)
	if kind == eventlog.Delivered {
		if err != nil || !delivery {
			return nil, fmt.Errorf("%w: not a delivery", eventlog.ErrSkip)
		}
		if err := d.check(); err != nil {
			return nil, fmt.Errorf("%w: %w", eventlog.ErrSkip, err)
		}
		return []event{d}, nil
	}
	if err != nil {
		return nil, err
	}
	if delivery {
		return nil, errDoesNotFit
	}
	if all, ok := e.(*many); ok {
		return all.events, nil
	}
	return []event{e}, nil
}

// entryMetas collects the metadata of the messages that a log entry added, in
// the order in which apply counts them.
func entryMetas(entry eventlog.Entry) ([][]byte, error) {
	var metas [][]byte
	for _, rec := range entry.Records {
		e, err := decodeEvent(rec)
		if err != nil {
			if entry.Kind == eventlog.Delivered {
				continue // apply skipped it
			}
			return nil, err
		}
		metas = appendMetas(metas, e)
	}
	return metas, nil
}

func appendMetas(metas [][]byte, e event) [][]byte {
	var added []newMessage
	switch e := e.(type) {
	case *addMessages:
		added = e.Messages
	case *importMessages:
		added = e.Messages
	case *deliver:
		if e.check() == nil {
			added = e.Messages
		}
	case *many:
		for _, e := range e.events {
			metas = appendMetas(metas, e)
		}
	}
	for _, m := range added {
		metas = append(metas, m.Meta)
	}
	return metas
}
