package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
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
	return pages.OpenBody(ctx, b.store.blobs, b.Object, b.key, b.Size, 0, -1)
}

// Bodies yields every message in the store that an identity opens, in no order:
// what is left when an account's log is damaged. Where messages were, their UIDs
// and flags, is not known, and expunged ones may be among them. A body that should
// open and does not is yielded with its error, and the next one follows.
//
// An account whose identity was changed has bodies of each time: give those from
// before too (see [Account.Recovery]).
func (s *Store) Bodies(ctx context.Context, identity *crypto.Identity, before ...*crypto.Identity) iter.Seq2[*Body, error] {
	identities := append([]*crypto.Identity{identity}, before...)
	return func(yield func(*Body, error) bool) {
		if err := s.usable(); err != nil {
			yield(nil, err)
			return
		}
		var others []eventlog.ID // accounts that another identity opens now
		found := false
		for id, err := range s.accountIDs(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			claims, err := s.claims(ctx, id, identity.Recipient())
			mine := err == nil && slices.ContainsFunc(identities, func(i *crypto.Identity) bool {
				return slices.ContainsFunc(claims, i.Recipient().Equal)
			})
			if err == nil && !mine {
				others = append(others, id)
				continue
			}
			found = found || mine
			if !s.bodiesOf(ctx, id, mine, identities, yield) {
				return
			}
		}
		if found {
			return
		}
		for _, id := range others { // one of them may have had these identities before
			if !s.bodiesOf(ctx, id, false, identities, yield) {
				return
			}
		}
	}
}

// bodiesOf yields the bodies of one account, and reports whether to go on. If it
// is not known to be the identities' own, those that do not open may be anybody's.
func (s *Store) bodiesOf(ctx context.Context, id eventlog.ID, mine bool, identities []*crypto.Identity, yield func(*Body, error) bool) bool {
	for info, err := range s.blobs.List(ctx, layout.AccountPrefix(id)+layout.BodyFolder, "") {
		if err != nil {
			yield(nil, fmt.Errorf("mailbox: list bodies: %w", err))
			return false
		}
		var b *Body
		for _, identity := range identities {
			if b, err = s.body(ctx, info.Name, info.Size, identity); !errors.Is(err, crypto.ErrDecrypt) {
				break
			}
		}
		if !mine && errors.Is(err, crypto.ErrDecrypt) {
			continue
		}
		if !yield(b, err) {
			return false
		}
	}
	return true
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
