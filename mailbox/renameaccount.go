package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/letterlock/letterlock/eventlog"
)

// RenameAccount gives an account another name. It needs no secret; sessions go on,
// and mail for the old name is refused from then on. It fails with [ErrNoAccount],
// [ErrAccountExists] and [ErrBadName].
//
// The new name is made before the old one goes, and both lead to the account in
// between: whoever is killed there leaves an account with two names, neither of
// which wins, and the same call again takes the old one away. Two calls that rename
// one account at once may leave it with both new names. If it is removed while it
// has two, [Store.Sweep] takes the other one away.
func (s *Store) RenameAccount(ctx context.Context, from, to string) error {
	from, err := CanonicalAccount(from)
	if err != nil {
		return err
	}
	if to, err = CanonicalAccount(to); err != nil {
		return err
	}
	id, err := s.find(ctx, from)
	if err != nil {
		return err
	}
	if err := s.needsKey(); err != nil {
		return err
	}
	if from == to {
		return nil
	}
	switch there, err := s.find(ctx, to); {
	case err == nil && there != id:
		return ErrAccountExists
	case errors.Is(err, ErrNoAccount):
		if err := s.vouchAs(ctx, id, s.nameHashOf(from), s.nameHashOf(to)); err != nil {
			return err
		}
		if err := s.nameAccount(ctx, to, id); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if err := s.blobs.Delete(ctx, s.nameHash(from)); err != nil {
		return fmt.Errorf("mailbox: rename account: the old name is still there: %w", err)
	}
	return s.unvouch(ctx, id, s.nameHashOf(from))
}

// nameAccount makes a name lead to an account. [ErrAccountExists] says that it
// leads to another one; after any other error it may or may not be there.
func (s *Store) nameAccount(ctx context.Context, name string, id eventlog.ID) error {
	b := append([]byte{nameVersion}, id[:]...)
	object := s.nameHash(name)
	if len(s.keys) > 0 {
		b = s.keys[0].Names.Seal(b, []byte(name), []byte(object))
	}
	err := s.blobs.Create(ctx, object, bytes.NewReader(b))
	if err == nil {
		return nil
	}
	switch there, behind := s.find(ctx, name); {
	case behind == nil && there == id:
		return nil // only the answer was lost
	case behind == nil:
		return ErrAccountExists
	}
	return fmt.Errorf("mailbox: name account: %w", err)
}
