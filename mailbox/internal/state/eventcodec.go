package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

var errMalformedEvent = errors.New("malformed event")

// EncodeEvent returns the one encoding of an event.
func EncodeEvent(e Event) []byte {
	var buf bytes.Buffer
	buf.WriteByte(e.Kind())
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
	case *UIDSet:
		must(enc.EncodeBytes(f.encode()))
	case *BodyRef:
		must(enc.EncodeBytes(f.append(nil)))
	case *[]NewMessage:
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

func (m *NewMessage) fields() []any { return []any{&m.Body, &m.Size, &m.Date, &m.Flags, &m.Meta} }

// DecodeEvent reads what EncodeEvent wrote, and nothing else.
func DecodeEvent(record []byte) (Event, error) {
	if len(record) == 0 {
		return nil, errMalformedEvent
	}
	e := NewEvent(record[0])
	if e == nil {
		return nil, fmt.Errorf("event of kind %d: %w", record[0], eventlog.ErrNewerVersion)
	}
	r := bytes.NewReader(record[1:])
	dec := msgpack.GetDecoder()
	defer msgpack.PutDecoder(dec)
	dec.Reset(r)
	if err := decodeFields(dec, e.fields()); err != nil {
		return nil, fmt.Errorf("%w of kind %d", errMalformedEvent, record[0])
	}
	// One encoding per value: whatever else could be read as this event, such as
	// integers in long form or bytes at the end, is refused here.
	if !bytes.Equal(EncodeEvent(e), record) {
		return nil, fmt.Errorf("%w of kind %d", errMalformedEvent, record[0])
	}
	if m, ok := e.(*Batch); ok {
		if err := m.parse(); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func decodeFields(dec *msgpack.Decoder, fields []any) error {
	n, err := dec.DecodeArrayLen()
	if err != nil || n != len(fields) {
		return errMalformedEvent
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
			err = errMalformedEvent
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
	case *UIDSet:
		var b []byte
		if b, err = dec.DecodeBytes(); err == nil {
			*f, err = decodeUIDSet(b)
		}
	case *BodyRef:
		var b []byte
		if b, err = dec.DecodeBytes(); err == nil {
			err = f.parse(b)
		}
	case *[]NewMessage:
		return decodeSlice(dec, f, func(m *NewMessage) error { return decodeFields(dec, m.fields()) })
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
		return errMalformedEvent
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

// BodyRefSize is the length of a body reference in an event or a page: the
// object's ID, the file key, the nonce, the header's length.
const BodyRefSize = 16 + 16 + 16 + 2

func (b BodyRef) append(dst []byte) []byte {
	dst = append(dst, b.ID[:]...)
	dst = append(dst, b.Key.File[:]...)
	dst = append(dst, b.Key.Nonce[:]...)
	return binary.BigEndian.AppendUint16(dst, b.Key.Header)
}

func (b *BodyRef) parse(p []byte) error {
	if len(p) != BodyRefSize {
		return errMalformedEvent
	}
	b.ID = eventlog.ObjectID(p[:16])
	b.Key = crypto.BodyKey{
		File: crypto.FileKey(p[16:32]), Nonce: [16]byte(p[32:48]), Header: binary.BigEndian.Uint16(p[48:]),
	}
	return nil
}

// Seconds cuts a time to what a page keeps of it: seconds since 1970 until 2106.
func Seconds(unix int64) uint32 {
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
