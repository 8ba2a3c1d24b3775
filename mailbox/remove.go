package mailbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/keyring"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// An account is removed in this order:
//
//  1. gone/<id>: the account is being removed, and since when. From here on it
//     can only go, whoever finishes it.
//  2. A tombstone ends its log: whoever has it open, or delivers to it, conflicts with
//     that and notices.
//  3. Its slots and published keys: nobody can log in or begin a delivery.
//  4. Its name: it can be given to another account, with another ID.
//  5. All else below acct/<id>/, but the tombstone.
//  6. A grace time later, the tombstone, what calls that were under way had still written, another
//     name that it may have had, and then gone/<id>.
//
// A delivery that began before, and ends after, adds to an account that has no
// name any more: it was accepted for what was removed.
//
//	gone/<account ID, 32 hex>
//	  version 1 | seconds since 1970 (8) | the name's hash (32), as in name/
const goneVersion = 1

// DeleteAccount erases an account: its name, keys, log, and every message. It
// needs no secret of it. Its sessions end: those of this process at once, those of
// others when they read what is gone, or within an eighth of Grace. When it returns nil all of
// it is gone, but what a call of another process that is under way may still
// write: [Store.Sweep] erases that. The name can be used again at once, for
// an account that has nothing of this one.
//
// It fails with [ErrNoAccount]. After another error part of the account may be
// gone, and nobody can use the rest: call it again, or leave it to Sweep.
func (s *Store) DeleteAccount(ctx context.Context, name string) error {
	name, err := CanonicalAccount(name)
	if err != nil {
		return err
	}
	id, err := s.find(ctx, name)
	if err != nil {
		return err
	}
	ctx = blob.Freeing(ctx)
	if s.keyless {
		return fmt.Errorf("mailbox: remove account: %w", ErrServerKey) // it cannot end the log
	}
	g := gone{id: id, since: s.opts.Now(), name: s.nameHash(name)}
	err = s.blobs.Create(ctx, layout.RemovedName(id), bytes.NewReader(g.encode()))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("mailbox: remove account: %w", err)
	}
	if err := s.endLog(ctx, id, s.nameHashOf(name)); err != nil {
		return err
	}
	s.waker.Publish(id)
	s.expel(id)
	if err := s.erase(ctx, id, "", layout.SlotFolder, layout.KeyFolder); err != nil {
		return err
	}
	if err := s.unname(ctx, g); err != nil {
		return err
	}
	return s.eraseButLast(ctx, id)
}

// endLog appends the tombstone. An account whose log cannot be ended so, because it is
// damaged or somebody else wrote to it, is removed all the same.
func (s *Store) endLog(ctx context.Context, id eventlog.ID, name keyring.NameHash) error {
	log, err := eventlog.New(eventlog.Config{
		Store: s.blobs, Prefix: layout.AccountPrefix(id), ID: id, Grace: s.opts.Grace, Now: s.opts.Now, Logger: s.logger,
		Delivery: func(ctx context.Context, e eventlog.Epoch) (eventlog.Delivery, error) {
			return s.deliveryFor(ctx, id, e, name)
		},
	})
	if err != nil {
		return err
	}
	var end eventlog.Entry
	if _, err = log.FindHead(ctx); err == nil {
		end, err = log.End(ctx)
	}
	switch {
	case err == nil:
		s.committed(id, end.Head)
		return nil
	case errors.Is(err, eventlog.ErrEnded), errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, eventlog.ErrCorrupt), errors.Is(err, ErrUnsigned), errors.Is(err, eventlog.ErrRolledBack):
		s.logger.Warn("removes an account whose log it cannot end", "account", id, "error", err)
		return nil
	}
	return fmt.Errorf("mailbox: remove account: %w", err)
}

// eraseButLast deletes all that lies below an account's prefix but the last entry of
// its log.
func (s *Store) eraseButLast(ctx context.Context, id eventlog.ID) error {
	last, err := s.lastName(ctx, id)
	if err != nil {
		return err
	}
	return s.erase(ctx, id, last, "")
}

// lastName returns the name of the last entry of an account's log, "" if it has none.
func (s *Store) lastName(ctx context.Context, id eventlog.ID) (last string, err error) {
	for info, err := range s.blobs.List(ctx, layout.AccountPrefix(id)+eventlog.EntryFolder(""), "") {
		if err != nil {
			return "", fmt.Errorf("mailbox: erase account: %w", err)
		}
		last = info.Name
	}
	return last, nil
}

// unname deletes an account's name, if it still is this account's.
func (s *Store) unname(ctx context.Context, g gone) error {
	b, err := layout.ReadAll(ctx, s.blobs, g.name, 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var id eventlog.ID
	if err == nil {
		id, err = parseName(g.name, b)
	}
	if err == nil && id != g.id {
		return nil // it was given to another account
	}
	if err == nil {
		err = s.blobs.Delete(ctx, g.name)
	}
	if err != nil {
		return fmt.Errorf("mailbox: remove name: %w", err)
	}
	return nil
}

// expel ends the sessions that this process has of an account.
func (s *Store) expel(id eventlog.ID) {
	s.mu.Lock()
	l := s.accounts[id]
	delete(s.accounts, id)
	s.dropInboxes(id)
	s.mu.Unlock()
	if l == nil {
		return
	}
	<-l.ready
	if l.account != nil && l.err == nil {
		l.account.close()
	}
}

// wasRemoved reports whether an account is being removed, by whatever process.
func (s *Store) wasRemoved(ctx context.Context, a *account) bool {
	_, err := s.blobs.Stat(ctx, layout.RemovedName(a.id))
	return err == nil
}

// inBackground runs what Close waits for.
func (s *Store) inBackground(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.retiring.Go(do)
	}
}

// expelThis is expel unless the account was opened anew meanwhile. It waits for an
// account that is being opened.
func (s *Store) expelThis(a *account) {
	s.mu.Lock()
	l := s.accounts[a.id]
	s.mu.Unlock()
	if l == nil {
		return
	}
	if <-l.ready; l.account == a {
		s.expel(a.id)
	}
}

// SweepReport says what [Store.Sweep] did.
type SweepReport struct {
	Accounts int // removed accounts of which something was left
	Objects  int // of those
	Bytes    int64
	Trimmed  int // log entries and snapshots, with SweepOptions.Logs
}

// SweepOptions say how [Store.Sweep] is meant.
type SweepOptions struct {
	// DryRun only counts what is left of removed accounts.
	DryRun bool
	// Logs also trims the log of every account, which who writes to it does as
	// well.
	Logs bool
}

// Sweep finishes what [Store.DeleteAccount] began: what is left of removed
// accounts is erased, and, a grace time after the removal, that they were
// there. It needs no key. It costs one listing of a folder that is empty as a
// rule, and with [SweepOptions.Logs] a few requests for each account.
func (s *Store) Sweep(ctx context.Context, o SweepOptions) (SweepReport, error) {
	var rep SweepReport
	if err := s.usable(); err != nil {
		return rep, err
	}
	past := map[eventlog.ID]bool{} // removed a grace time ago
	for info, err := range s.blobs.List(ctx, layout.RemovedFolder, "") {
		if err != nil {
			return rep, fmt.Errorf("mailbox: sweep: %w", err)
		}
		g, err := s.readGone(ctx, info.Name)
		if err == nil {
			err = s.sweep(ctx, g, o.DryRun, s.opts.Now().Sub(g.since) >= s.opts.Grace, &rep)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return rep, err
		}
		if err == nil && !o.DryRun && s.opts.Now().Sub(g.since) >= s.opts.Grace {
			past[g.id] = true
		}
	}
	if err := s.forgetRemoved(ctx, past); err != nil {
		return rep, err
	}
	if !o.Logs || o.DryRun {
		return rep, nil
	}
	for id, err := range s.accountIDs(ctx) {
		if err == nil {
			err = s.trim(ctx, id, &rep)
		}
		if err != nil {
			return rep, err
		}
	}
	return rep, nil
}

// trim deletes what newer snapshots cover, as far as that can be told without the
// keys. A damaged log is left for check.
func (s *Store) trim(ctx context.Context, id eventlog.ID, rep *SweepReport) error {
	log, err := eventlog.New(eventlog.Config{
		Store: s.blobs, Prefix: layout.AccountPrefix(id), ID: id, Grace: s.opts.Grace, Now: s.opts.Now, Logger: s.logger,
	})
	if err != nil {
		return err
	}
	done, err := log.Trim(ctx)
	rep.Trimmed += done.Entries + done.Snapshots
	return err
}

// sweep erases what is left of a removed account: within Grace, all but the tombstone.
func (s *Store) sweep(ctx context.Context, g gone, dry, past bool, rep *SweepReport) error {
	left, keep := 0, ""
	if !past {
		var err error
		if keep, err = s.lastName(ctx, g.id); err != nil {
			return err
		}
	}
	for info, err := range s.blobs.List(ctx, layout.AccountPrefix(g.id), "") {
		if err != nil {
			return fmt.Errorf("mailbox: sweep: %w", err)
		}
		if info.Name == keep {
			continue
		}
		left++
		rep.Objects++
		rep.Bytes += info.Size
	}
	if left > 0 {
		rep.Accounts++
	}
	if dry {
		return nil
	}
	if left > 0 {
		return s.erase(ctx, g.id, keep, layout.SlotFolder, layout.KeyFolder, "")
	}
	return nil
}

// forgetRemoved deletes the names that still lead to removed accounts, and then the
// marks that these were there. An interrupted rename leaves an account with two
// names, of which the removal knew one: so all names are read, once for all
// accounts that are to be forgotten.
func (s *Store) forgetRemoved(ctx context.Context, past map[eventlog.ID]bool) error {
	if len(past) == 0 {
		return nil
	}
	for info, err := range s.blobs.List(ctx, layout.NameFolder, "") {
		if err != nil {
			return fmt.Errorf("mailbox: sweep: %w", err)
		}
		b, err := layout.ReadAll(ctx, s.blobs, info.Name, 4096)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("mailbox: sweep: %w", err)
		}
		id, err := parseName(info.Name, b)
		if err != nil || !past[id] {
			continue // a damaged one is for check to tell of
		}
		if err := s.unname(ctx, gone{id: id, name: info.Name}); err != nil {
			return err
		}
	}
	for id := range past {
		if err := s.blobs.Delete(ctx, layout.RemovedName(id)); err != nil {
			return fmt.Errorf("mailbox: sweep: %w", err)
		}
	}
	return nil
}

// gone says that an account was removed.
type gone struct {
	id    eventlog.ID
	since time.Time
	name  string // of the object that gave it its name
}

func (g *gone) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{goneVersion}, uint64(g.since.Unix()))
	hash, err := hex.DecodeString(strings.TrimPrefix(g.name, layout.NameFolder))
	if err != nil || len(hash) != sha256.Size {
		panic("mailbox: a name's hash is 32 bytes") // nameHash made it
	}
	return append(b, hash...)
}

func (s *Store) readGone(ctx context.Context, object string) (g gone, err error) {
	b, err := layout.ReadAll(ctx, s.blobs, object, 64)
	if err != nil {
		return g, err
	}
	if len(b) > 0 && b[0] > goneVersion {
		return g, fmt.Errorf("mailbox: %s: %w", object, eventlog.ErrNewerVersion)
	}
	id, err := eventlog.ParseObjectID(strings.TrimPrefix(object, layout.RemovedFolder)) // the same 32 digits
	if err != nil || len(b) != 1+8+sha256.Size || b[0] != goneVersion {
		return g, fmt.Errorf("mailbox: %s: %w", object, eventlog.ErrCorrupt)
	}
	return gone{
		id: eventlog.ID(id), since: time.Unix(int64(binary.BigEndian.Uint64(b[1:])), 0), name: fmt.Sprintf("%s%x", layout.NameFolder, b[9:]),
	}, nil
}

// eraseBatch is how many objects are deleted by one call.
const eraseBatch = 256

// erase deletes what lies below an account's prefix, folder after folder, but one
// object if keep is not empty.
func (s *Store) erase(ctx context.Context, id eventlog.ID, keep string, folders ...string) error {
	for _, folder := range folders {
		var batch []string
		flush := func() error {
			if err := s.blobs.Delete(ctx, batch...); err != nil {
				return fmt.Errorf("mailbox: erase account: %w", err)
			}
			batch = batch[:0]
			return nil
		}
		for info, err := range s.blobs.List(ctx, layout.AccountPrefix(id)+folder, "") {
			if err != nil {
				return fmt.Errorf("mailbox: erase account: %w", err)
			}
			if info.Name == keep {
				continue
			}
			if batch = append(batch, info.Name); len(batch) == eraseBatch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return nil
}
