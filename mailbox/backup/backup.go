// Package backup copies a letterlock store into another one, while it is used.
//
//	from (any blob.Store, in use)  --Copy-->  to (any blob.Store)
//
// A store is a tree of immutable objects, so a copy is a set of names, and the next
// copy into the same place costs the listings and what is new. What it must not be
// is a set with holes: an entry of a log whose body is missing, a log with a gap.
// Two rules see to that; docs/operations.md derives them from the order in which
// objects are written.
//
//   - It looks for what refers before it looks for what is referred to: snapshots,
//     then entries, then bodies and pages. Whatever an entry that it saw refers to
//     was there before the entry.
//   - It writes the other way round: bodies and pages, then entries in ascending
//     order, then snapshots, then the names of accounts. So the copy is a whole store
//     at any moment, also if the copying is cut off and never goes on. (But for an
//     account whose log was trimmed beyond the end of the copy's, because the last
//     copy is older than the grace time: until its newest snapshot is there too.)
//
// What is promised: everything that was acknowledged before Copy began is in the
// copy when it returns nil, and each account of it is the state that the account had
// at one moment of the copying. No key is needed, and nothing but [blob.Store] is
// relied on: a folder is moved into a bucket, and back, by the same call.
//
// What is not: that two accounts are of the same moment; that a source whose
// objects have other bytes than they should is noticed ([Compare] compares, and the
// store's own check tells). A body that cannot be read is an error, and the rest of
// its account is copied. A source that lost entries which the copy has is refused, so that a bad
// source does not spoil a good copy.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// Errors that callers branch on.
var (
	// ErrOtherStore: the target is neither empty nor a copy of the source.
	ErrOtherStore = errors.New("target is not a copy of this store")
	// ErrRolledBack: the copy has entries that the source does not have. The
	// source was set back, or another history was written; the account's copy was
	// left as it is.
	ErrRolledBack = errors.New("source has lost entries that the copy has")
	// ErrUnsettled: objects went away faster than they were copied, several times.
	ErrUnsettled = errors.New("store changed too much while it was copied")
)

// Options of [Copy]. The zero value is right for a backup.
type Options struct {
	// Restored says that the source is a backup, and that what was done after it is
	// lost: the target is to be served in the lost store's place. Accounts are
	// marked, so that mail programs are told at the first login to forget what they
	// know (a new UIDVALIDITY); else a UID that they have seen could be given to
	// another message. It is not for a store that nobody has written to since it
	// was copied.
	Restored bool
	// Prune deletes in the target what the source does not have any more: garbage
	// that was collected there, and removed accounts. Without it they stay.
	Prune bool
	// Parallel is how many objects are copied at once. 0 means 8.
	Parallel int
	// Progress, if set, is called after each object that was copied, from many
	// goroutines.
	Progress func(bytes int64)
}

// Report says what Copy did.
type Report struct {
	Accounts   int   // copied, or found to be copied
	Copied     int   // objects
	Bytes      int64 // of these
	Deleted    int   // objects of the target
	Unreadable int   // objects of the source: what refers to them was copied without
}

const maxFormat = 256

// Copy copies a store, or what is new in it since the last copy to the same target.
// It goes on past an account that cannot be copied, and returns all errors joined,
// of those with the same cause the first.
// Only one Copy into a target should run at a time.
func Copy(ctx context.Context, from, to blob.Store, o Options) (Report, error) {
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	c := &copier{from: from, to: to, opts: o, room: make(chan struct{}, o.Parallel)}
	err := c.run(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.report, errors.Join(append(c.damage, err)...)
}

// copier is one Copy under way.
type copier struct {
	from, to blob.Store
	opts     Options
	room     chan struct{} // has a value for each object that is being copied

	mu     sync.Mutex // protects what follows
	report Report
	damage []error         // what of the source cannot be read
	copied map[string]bool // IDs of the accounts that are whole in the target
}

func (c *copier) run(ctx context.Context) error {
	first, err := c.begin(ctx)
	if err != nil {
		return err
	}
	c.copied = map[string]bool{}
	var errs []error
	var work sync.WaitGroup
	var mu sync.Mutex // protects errs
	lanes := make(chan struct{}, c.opts.Parallel)
	for id, err := range accounts(ctx, c.from) {
		if err != nil {
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
			break
		}
		lanes <- struct{}{}
		work.Go(func() {
			defer func() { <-lanes }()
			if err := c.account(ctx, id); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("backup: account %s: %w", id, err))
			}
		})
	}
	work.Wait()
	if err := byCause(errs); err != nil && (c.opts.Restored || ctx.Err() != nil) {
		// Mail for an account that is not there would be sent back.
		return err
	}
	err = c.names(ctx)
	if err == nil {
		err = c.finish(ctx, first)
	}
	return byCause(append(errs, err))
}

// begin makes sure that the target may be written to. first says that it is not a
// store yet.
func (c *copier) begin(ctx context.Context) (first bool, err error) {
	format, err := layout.ReadAll(ctx, c.from, layout.Format, maxFormat)
	if err != nil {
		return false, fmt.Errorf("backup: there is no store to copy: %w", err)
	}
	for _, object := range []string{layout.Format, layout.Copying} {
		there, err := layout.ReadAll(ctx, c.to, object, maxFormat)
		switch {
		case err == nil && string(there) == string(format):
			return object == layout.Copying, nil
		case err == nil:
			return false, fmt.Errorf("backup: %w: it has another salt", ErrOtherStore)
		case !errors.Is(err, fs.ErrNotExist):
			return false, fmt.Errorf("backup: look at the target: %w", err)
		}
	}
	for info, err := range c.to.List(ctx, "", "") {
		if err != nil {
			return false, fmt.Errorf("backup: look at the target: %w", err)
		}
		return false, fmt.Errorf("backup: %w: it is not empty, it has %s", ErrOtherStore, info.Name)
	}
	return true, c.put(ctx, layout.Copying, format)
}

// finish makes the target a store, if it was none.
func (c *copier) finish(ctx context.Context, first bool) error {
	for info, err := range c.from.List(ctx, layout.StoreFolder, "") {
		if err == nil && info.Name != layout.Format && info.Name != layout.Copying {
			err = c.copy(ctx, info.Name)
		}
		if err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	}
	if c.opts.Restored {
		if err := c.put(ctx, layout.Restored, []byte("letterlock restored 1\n")); err != nil {
			return err
		}
	}
	if !first {
		return nil
	}
	if err := c.copy(ctx, layout.Format); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := c.to.Delete(ctx, layout.Copying); err != nil { // not counted: it was never in the source
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}
