package eventlog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"github.com/letterlock/letterlock/crypto"
)

const maxObject = magicSize + MaxPayload + crypto.Overhead

// objectAD is the associated data of a sealed object: all that it is, but its
// bytes. Only the kind's length varies, and it stands last.
func (l *Log) objectAD(kind string, id ObjectID) []byte {
	ad := append([]byte(objectMagic), formatVersion)
	ad = append(ad, l.sealer.id[:]...)
	ad = append(ad, id[:]...)
	return append(ad, kind...)
}

// PutObject seals plaintext and stores it under a random name, <kind>/<id>, below
// the log's prefix. A kind is 1 to [MaxKind] bytes of a-z and 0-9 and has a key
// of its own; "log" and "snap" are taken. The object is durable when PutObject
// returns nil, and stays until the caller deletes it by its [Log.ObjectName].
// It needs the keys. [ErrTooLarge] is over [MaxPayload].
func (l *Log) PutObject(ctx context.Context, kind string, plaintext []byte) (ObjectID, error) {
	var id ObjectID
	if err := checkObjectKind(kind); err != nil {
		return id, err
	}
	if l.sealer.identity == nil {
		return id, fmt.Errorf("eventlog: put object: %w", errKeyless)
	}
	if len(plaintext) > MaxPayload {
		return id, fmt.Errorf("eventlog: put object of %d bytes, limit %d: %w", len(plaintext), MaxPayload, ErrTooLarge)
	}
	rand.Read(id[:])
	data := append(make([]byte, 0, magicSize+len(plaintext)+crypto.Overhead), objectMagic...)
	data = append(data, formatVersion)
	key := l.sealer.ring.keys[0].object.Derive(kind)
	data = key.Seal(data, plaintext, l.objectAD(kind, id))
	key.Wipe()
	if err := l.PutSealed(ctx, kind, id, data); err != nil {
		return ObjectID{}, err
	}
	return id, nil
}

// PutSealed stores bytes that the caller sealed, under <kind>/<id> below the log's
// prefix, with what PutObject promises. It needs no keys. It fails with fs.ErrExist
// if other bytes have the name.
func (l *Log) PutSealed(ctx context.Context, kind string, id ObjectID, data []byte) error {
	if err := checkObjectKind(kind); err != nil {
		return err
	}
	name := l.ObjectName(kind, id)
	out, err := l.put(ctx, name, data)
	if err == nil && !out.stored {
		err = fmt.Errorf("eventlog: put object %s: %w", name, fs.ErrExist)
	}
	return err
}

// GetObject returns what PutObject stored. It fails with fs.ErrNotExist if it is
// not there, and with a [CorruptError] if it is not what was put there. It needs
// the keys.
func (l *Log) GetObject(ctx context.Context, kind string, id ObjectID) ([]byte, error) {
	if err := checkObjectKind(kind); err != nil {
		return nil, err
	}
	if l.sealer.identity == nil {
		return nil, fmt.Errorf("eventlog: get object: %w", errKeyless)
	}
	name := l.ObjectName(kind, id)
	data, err := l.read(ctx, name, 0, maxObject+1)
	if err != nil {
		return nil, err
	}
	plaintext, err := openTwice(ctx, l, name, data, func(data []byte) ([]byte, error) { return l.openObject(kind, id, data) })
	if err != nil {
		return nil, &CorruptError{Op: "get object", Name: name, Err: err}
	}
	return plaintext, nil
}

func (l *Log) openObject(kind string, id ObjectID, data []byte) ([]byte, error) {
	if err := cutMagic(data, objectMagic); err != nil {
		return nil, err
	}
	if len(data) > maxObject {
		return nil, errors.New("longer than any object")
	}
	return l.sealer.ring.openObject(kind, data[magicSize:], l.objectAD(kind, id))
}
