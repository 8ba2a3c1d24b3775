package backup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// attempts bounds how often an account is copied anew because something of it went
// away while it was copied: it was trimmed, or its garbage collected.
const attempts = 5

// errVanished is an object that was listed and is gone.
var errVanished = errors.New("object went away while it was copied")

// accounts yields the IDs of the accounts of a store. It makes a listing for each,
// so that it does not read the names of all their objects.
func accounts(ctx context.Context, s blob.Store) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for after := ""; ; {
			id := ""
			for info, err := range s.List(ctx, layout.AccountFolder, after) {
				if err != nil {
					yield("", fmt.Errorf("backup: list accounts: %w", err))
					return
				}
				id, _, _ = strings.Cut(strings.TrimPrefix(info.Name, layout.AccountFolder), "/")
				break
			}
			if id == "" || !yield(id, nil) {
				return
			}
			after = layout.AccountFolder + id + "0" // '0' is the byte after '/'
		}
	}
}

// position reads the number at the end of the name of an entry or a snapshot.
func position(name string) (uint64, bool) {
	digits := name[strings.LastIndexByte(name, '/')+1:]
	p, err := strconv.ParseUint(digits, 10, 64)
	return p, err == nil && len(digits) == 16 && p > 0
}

// span is the first and last position in a folder; zero if there is none.
type span struct{ first, last uint64 }

// positions lists a folder of entries or snapshots.
func positions(ctx context.Context, s blob.Store, folder string) (all []uint64, at span, err error) {
	for info, err := range s.List(ctx, folder, "") {
		if err != nil {
			return nil, span{}, err
		}
		if p, ok := position(info.Name); ok {
			all = append(all, p)
		}
	}
	if len(all) > 0 {
		at = span{all[0], all[len(all)-1]}
	}
	return all, at, nil
}

func at(folder string, p uint64) string { return fmt.Sprintf("%s%016d", folder, p) }

// account copies one account, as often as it takes.
func (c *copier) account(ctx context.Context, id string) error {
	for range attempts {
		done, err := c.accountOnce(ctx, layout.AccountFolder+id+"/")
		if err != nil || !done {
			// One that is being removed falls apart, and is none any more.
			_, gone := c.from.Stat(ctx, layout.RemovedFolder+id)
			if gone == nil {
				return nil
			}
		}
		if errors.Is(err, errVanished) {
			continue
		}
		if err == nil && done {
			c.mu.Lock()
			c.report.Accounts++
			c.copied[id] = true
			c.mu.Unlock()
		}
		return err
	}
	return ErrUnsettled
}

// accountOnce copies one account. done is false if it is not whole yet: somebody is
// about to make it, and nobody has been told that it exists.
func (c *copier) accountOnce(ctx context.Context, prefix string) (done bool, err error) {
	// What refers is looked for before what is referred to.
	snaps, _, err := positions(ctx, c.from, eventlog.SnapshotFolder(prefix))
	if err != nil {
		return false, err
	}
	_, log, err := positions(ctx, c.from, eventlog.EntryFolder(prefix))
	if err != nil || log.last == 0 {
		return false, err
	}
	next, err := c.follows(ctx, prefix, log)
	if err != nil {
		return false, err
	}
	if next <= log.last {
		// The tombstone of an account that is being removed is made after this, and must
		// not end the log of the copy.
		_, err := c.from.Stat(ctx, "gone/"+strings.Trim(strings.TrimPrefix(prefix, "acct/"), "/"))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	epoch, err := c.epoch(ctx, at(prefix+"log/", log.last))
	if err != nil {
		return false, err
	}
	var extra []string // of the target only
	for _, kind := range []string{layout.BodyFolder, layout.PackFolder, layout.RingFolder} {
		more, err := c.folder(ctx, prefix+kind)
		if err != nil {
			return false, err
		}
		extra = append(extra, more...)
	}
	// What refers is written after what is referred to, and a log without a gap.
	// Every position up to the last was taken when the last was listed, whether it
	// was listed or not.
	for p := next; p <= log.last; p++ {
		if err := c.copy(ctx, eventlog.EntryName(prefix, eventlog.Position(p))); err != nil {
			return false, err
		}
	}
	for _, p := range snaps {
		if err := c.copy(ctx, eventlog.SnapshotName(prefix, eventlog.Position(p))); err != nil {
			return false, err
		}
	}
	if err := c.secrets(ctx, prefix, epoch); err != nil {
		return false, err
	}
	if err := c.sameEpoch(ctx, prefix, log.last, epoch); err != nil {
		return false, err
	}
	if c.opts.Restored {
		if err := c.put(ctx, at(prefix+layout.RestoredFolder, log.last), []byte("letterlock restored 1\n")); err != nil {
			return false, err
		}
	}
	if err := c.trim(ctx, prefix, snaps, log); err != nil {
		return false, err
	}
	if c.opts.Prune {
		return true, c.delete(ctx, extra...)
	}
	return true, nil
}

// follows makes sure that the source continues what the target has, and returns the
// first position to copy.
func (c *copier) follows(ctx context.Context, prefix string, log span) (next uint64, err error) {
	_, have, err := positions(ctx, c.to, eventlog.EntryFolder(prefix))
	switch {
	case err != nil:
		return 0, err
	case have.last == 0 || have.last < log.first:
		return log.first, nil // what is between was trimmed
	case have.last > log.last:
		return 0, fmt.Errorf("%w: it ends at entry %d, the copy at %d", ErrRolledBack, log.last, have.last)
	}
	name := eventlog.EntryName(prefix, eventlog.Position(have.last))
	same, err := c.same(ctx, name)
	switch {
	case err != nil:
		return 0, err
	case !same:
		return 0, fmt.Errorf("%w: entry %d is another one", ErrRolledBack, have.last)
	}
	return have.last + 1, nil
}

// folder copies the objects of a folder that the target does not have, and returns
// the names that only the target has.
func (c *copier) folder(ctx context.Context, prefix string) (extra []string, err error) {
	return c.some(ctx, prefix, func(string) bool { return true })
}

// some is folder for the names that are wanted.
func (c *copier) some(ctx context.Context, prefix string, wanted func(name string) bool) (extra []string, err error) {
	var missing []string
	err = merge(ctx, c.from, c.to, prefix, func(name string, source, target bool) error {
		if !target {
			if wanted(name) {
				missing = append(missing, name)
			}
		} else if !source {
			extra = append(extra, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var work sync.WaitGroup
	errs := make([]error, len(missing))
	for i, name := range missing {
		c.room <- struct{}{}
		work.Go(func() {
			defer func() { <-c.room }()
			errs[i] = c.copy(ctx, name)
		})
	}
	work.Wait()
	errs = slices.DeleteFunc(errs, func(err error) bool {
		var damage *sourceError
		if !errors.As(err, &damage) || ctx.Err() != nil {
			return false
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.report.Unreadable++; len(c.damage) < maxDamage {
			c.damage = append(c.damage, fmt.Errorf("backup: %w", err))
		}
		return true
	})
	return extra, byCause(errs)
}

// maxDamage is how many objects that cannot be read are named.
const maxDamage = 100

// sourceError is an object of the source that is there and cannot be read. The
// rest of its account is copied.
type sourceError struct {
	name string
	err  error
}

func (e *sourceError) Error() string { return fmt.Sprintf("read %s: %v", e.name, e.err) }
func (e *sourceError) Unwrap() error { return e.err }

// epochAt is where an entry of a log says its epoch (docs/format-log.md).
const epochAt = 13

// epoch reads the epoch of an entry of the source.
func (c *copier) epoch(ctx context.Context, name string) (uint32, error) {
	r, err := c.from.Open(ctx, name, epochAt, 4)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errVanished
	}
	if err != nil {
		return 0, err
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return 0, err
	}
	if len(b) != 4 {
		return 0, &sourceError{name, errors.New("is no entry")}
	}
	return binary.BigEndian.Uint32(b), nil
}

// sameEpoch makes sure that the account's identity was not changed while it was
// copied: the slots of the one would not open the log of the other.
func (c *copier) sameEpoch(ctx context.Context, prefix string, last uint64, epoch uint32) error {
	name := ""
	for info, err := range c.from.List(ctx, prefix+"log/", at(prefix+"log/", last)) {
		if err != nil {
			return err
		}
		name = info.Name
	}
	if name == "" {
		return nil
	}
	now, err := c.epoch(ctx, name)
	if err == nil && now != epoch {
		err = errVanished
	}
	return err
}

// secrets makes the slots of an account the source's: what opens nothing there must
// open nothing here. But never none at all. What is published for an epoch that has
// not begun may still be replaced, and is not copied.
func (c *copier) secrets(ctx context.Context, prefix string, epoch uint32) error {
	begun := fmt.Sprintf("%skey/%010d.", prefix, epoch) // after "-", which entries go on with
	if _, err := c.some(ctx, prefix+"key/", func(name string) bool { return name < begun }); err != nil {
		return err
	}
	if _, err := c.folder(ctx, prefix+"restored/"); err != nil {
		return err
	}
	extra, err := c.folder(ctx, prefix+layout.QuotaFolder)
	if err == nil || errors.Is(err, errVanished) { // of limits and counts the newest counts
		err = c.delete(ctx, extra...)
	}
	if err != nil {
		return err
	}
	extra, err = c.folder(ctx, prefix+layout.SlotFolder)
	if err != nil || len(extra) == 0 {
		return err
	}
	for _, err := range c.from.List(ctx, prefix+layout.SlotFolder, "") {
		if err != nil {
			return err
		}
		return c.delete(ctx, extra...)
	}
	return nil
}

// trim deletes of the target's log what the source has trimmed, as it is deleted
// there: snapshots first, then one entry after the other in ascending order. Two
// snapshots of the source are in the target by now.
func (c *copier) trim(ctx context.Context, prefix string, snaps []uint64, log span) error {
	if len(snaps) < 2 {
		return nil
	}
	for _, folder := range []struct {
		name  string
		first uint64
	}{{eventlog.SnapshotFolder(prefix), snaps[0]}, {eventlog.EntryFolder(prefix), min(log.first, snaps[0])}} {
		have, _, err := positions(ctx, c.to, folder.name)
		if err != nil {
			return err
		}
		for _, p := range have {
			if p >= folder.first {
				break
			}
			if err := c.delete(ctx, at(folder.name, p)); err != nil {
				return err
			}
		}
	}
	return nil
}

// copy copies one object. If the target has the name it must have the same bytes.
func (c *copier) copy(ctx context.Context, name string) error {
	r, err := c.from.Open(ctx, name, 0, -1)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", errVanished, name)
	}
	if err != nil {
		return &sourceError{name, err}
	}
	defer r.Close()
	n := &counter{r: r}
	err = c.to.Create(ctx, name, n)
	if errors.Is(err, fs.ErrExist) {
		same, err := c.same(ctx, name)
		if err == nil && !same {
			err = fmt.Errorf("%w: %s is another object", ErrRolledBack, name)
		}
		return err
	}
	if n.err != nil {
		return &sourceError{name, n.err}
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.report.Copied++
	c.report.Bytes += n.n
	c.mu.Unlock()
	if c.opts.Progress != nil {
		c.opts.Progress(n.n)
	}
	return nil
}
