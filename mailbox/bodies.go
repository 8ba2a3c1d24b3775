package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

// Body is a message whose account's log need not be readable: see [Store.Bodies].
type Body struct {
	Object string // its name in the store
	Size   int64  // bytes of the message

	store *Store
	key   crypto.BodyKey
}

// Open returns the message's bytes. No byte is handed out before it is verified.
// The caller closes the reader.
func (b *Body) Open(ctx context.Context) (io.ReadCloser, error) {
	return openBody(ctx, b.store.blobs, b.Object, b.key, b.Size, 0, -1)
}

// Bodies yields every message in the store that an identity opens, in no order:
// what is left when an account's log is damaged. Where messages were, their UIDs
// and flags, is not known, and expunged ones may be among them. A body that should
// open and does not is yielded with its error, and the next one follows.
func (s *Store) Bodies(ctx context.Context, identity *crypto.Identity) iter.Seq2[*Body, error] {
	return func(yield func(*Body, error) bool) {
		if err := s.usable(); err != nil {
			yield(nil, err)
			return
		}
		for id, err := range s.accountIDs(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			prefix := accountPrefix(id)
			recipient, err := s.published(ctx, prefix)
			mine := err == nil && recipient.Equal(identity.Recipient())
			if err == nil && !mine {
				continue
			}
			for info, err := range s.blobs.List(ctx, prefix+"body/", "") {
				if err != nil {
					yield(nil, fmt.Errorf("mailbox: list bodies: %w", err))
					return
				}
				b, err := s.body(ctx, info.Name, info.Size, identity)
				if err != nil && !mine && errors.Is(err, crypto.ErrDecrypt) {
					continue // the published key is gone: this may be anybody's
				}
				if !yield(b, err) {
					return
				}
			}
		}
	}
}

// body finds the key of a body in its header, which the identity opens.
func (s *Store) body(ctx context.Context, name string, size int64, identity *crypto.Identity) (*Body, error) {
	b := &Body{Object: name, store: s}
	r, err := s.blobs.Open(ctx, name, 0, size)
	if err != nil {
		return b, fmt.Errorf("mailbox: read body: %w", err)
	}
	defer r.Close()
	if b.key, err = crypto.RecoverBodyKey(r, identity); err == nil {
		b.Size, err = b.key.PlaintextSize(size)
	}
	if err != nil {
		return b, fmt.Errorf("mailbox: %s: %w: %w", name, eventlog.ErrCorrupt, err)
	}
	return b, nil
}
