package eventlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"

	"github.com/letterlock/letterlock/crypto"
)

const maxObject = magicSize + MaxPayload + crypto.Overhead

// objectAD is the associated data of a sealed object: all that it is, but its name,
// which follows from its bytes. Only the kind's length varies, and it stands last.
func (l *Log) objectAD(kind string) []byte {
	ad := append([]byte(objectMagic), formatVersion)
	ad = append(ad, l.sealer.id[:]...)
	return append(ad, kind...)
}

// objectIDOf returns the name of a sealed object: the first half of SHA-256 of its
// bytes. So who names an object says what is in it, and nobody can put another in
// its place, also not with the keys.
func objectIDOf(data []byte) ObjectID {
	sum := sha256.Sum256(data)
	return ObjectID(sum[:len(ObjectID{})])
}

// PutObject seals plaintext and stores it below the log's prefix as <kind>/<id>,
// whose ID follows from the sealed bytes. A kind is 1 to [MaxKind] bytes of a-z and
// 0-9 and has a key of its own; "log" and "snap" are taken. The object is durable
// when PutObject returns nil, and stays until the caller deletes it by its
// [Log.ObjectName]. It needs the keys. [ErrTooLarge] is over [MaxPayload].
func (l *Log) PutObject(ctx context.Context, kind string, plaintext []byte) (ObjectID, error) {
	if err := checkObjectKind(kind); err != nil {
		return ObjectID{}, err
	}
	if l.sealer.ring == nil {
		return ObjectID{}, fmt.Errorf("eventlog: put object: %w", errKeyless)
	}
	if len(plaintext) > MaxPayload {
		return ObjectID{}, fmt.Errorf("eventlog: put object of %d bytes, limit %d: %w", len(plaintext), MaxPayload, ErrTooLarge)
	}
	data := append(make([]byte, 0, magicSize+len(plaintext)+crypto.Overhead), objectMagic...)
	data = append(data, formatVersion)
	key := l.sealer.ring.keys[0].object.Derive(kind)
	data = key.Seal(data, plaintext, l.objectAD(kind))
	key.Wipe()
	id := objectIDOf(data)
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

// GetObject returns what PutObject stored, under the newest identity or one before
// it. It fails with fs.ErrNotExist if it is not there, and with a [CorruptError] if
// it is not what was put there. It needs the keys.
func (l *Log) GetObject(ctx context.Context, kind string, id ObjectID) ([]byte, error) {
	return l.getObject(ctx, kind, id, func(sealed, ad []byte) ([]byte, error) {
		return l.sealer.ring.openObject(kind, sealed, ad)
	})
}

// GetOwnObject is GetObject for what is found by listing and named by nothing: it
// takes only what the newest identity sealed.
func (l *Log) GetOwnObject(ctx context.Context, kind string, id ObjectID) ([]byte, error) {
	return l.getObject(ctx, kind, id, func(sealed, ad []byte) ([]byte, error) {
		key := l.sealer.ring.keys[0].object.Derive(kind)
		defer key.Wipe()
		return key.Open(nil, sealed, ad)
	})
}

func (l *Log) getObject(ctx context.Context, kind string, id ObjectID, open func(sealed, ad []byte) ([]byte, error)) ([]byte, error) {
	if err := checkObjectKind(kind); err != nil {
		return nil, err
	}
	if l.sealer.ring == nil {
		return nil, fmt.Errorf("eventlog: get object: %w", errKeyless)
	}
	name := l.ObjectName(kind, id)
	data, err := l.read(ctx, name, 0, maxObject+1)
	if err != nil {
		return nil, err
	}
	plaintext, err := openTwice(ctx, l, name, data, func(data []byte) ([]byte, error) {
		if err := l.checkObject(id, data); err != nil {
			return nil, err
		}
		return open(data[magicSize:], l.objectAD(kind))
	})
	if err != nil {
		return nil, &CorruptError{Op: "get object", Name: name, Err: err}
	}
	return plaintext, nil
}

// checkObject checks what can be checked before anything is opened.
func (l *Log) checkObject(id ObjectID, data []byte) error {
	if err := cutMagic(data, objectMagic); err != nil {
		return err
	}
	if len(data) > maxObject {
		return errors.New("longer than any object")
	}
	if objectIDOf(data) != id {
		return errors.New("is not the object of this name")
	}
	return nil
}
