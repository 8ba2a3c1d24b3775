package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/letterlock/letterlock/crypto"
)

// A Problem is something about a log that is not as it must be, found by Check.
type Problem struct {
	Name string   // the object's whole name
	Pos  Position // its position, or 0 if it has none
	// Err says what is wrong. Something damaged or missing is a [CorruptError]; a
	// rollback behind Config.Seen matches [ErrRolledBack]; what does no harm (a
	// Delivered entry that opens and is junk, a stray entry that Trim will remove, a
	// snapshot from the future) matches neither.
	Err error
}

// String names the object and what is wrong with it.
func (p Problem) String() string {
	var damage *CorruptError
	if errors.As(p.Err, &damage) {
		return p.Err.Error()
	}
	return fmt.Sprintf("%s: %v", p.Name, p.Err)
}

// Check reads the whole log and reports what is wrong: names that do not belong,
// entries that are missing, damaged or out of the chain, snapshots that are
// damaged or do not fit the chain, another entry than [Config.Seen] at its
// position. With keys, every entry and snapshot is opened. It goes on past
// damage, never writes, does not move the head, and may run while others append
// and trim. The error is the store's or ctx's; report is called in the order of
// names. A log without any object is fs.ErrNotExist.
//
// Sealed objects other than entries and snapshots are not read: whether one is
// needed is known to those who know the records.
func (l *Log) Check(ctx context.Context, report func(Problem)) error {
	_, err := l.CheckHead(ctx, report)
	return err
}

// CheckHead is Check and returns the last entry that it read, which is to be kept
// elsewhere and given to a later check as [Config.Seen]; the zero Head if that
// entry is damaged.
func (l *Log) CheckHead(ctx context.Context, report func(Problem)) (Head, error) {
	c := &checker{l: l, sealer: l.sealer, report: report}
	err := c.run(ctx)
	if err != nil || !c.chain {
		return Head{}, err
	}
	return c.prev, nil
}

type checker struct {
	l      *Log
	sealer sealer // without keys from where another identity took over
	report func(Problem)
	snaps  []Position
	keep   Position // positions below may have been trimmed
	prev   Head     // the last entry read; Pos 0 before the first
	chain  bool     // the hash of prev is known
	term   term     // that holds after prev
	ended  bool     // prev is a tombstone
}

func (c *checker) run(ctx context.Context) error {
	var err error
	if c.snaps, err = c.l.snapshots(ctx); err != nil {
		return err
	}
	if n := len(c.snaps); n >= 2 {
		c.keep = c.snaps[n-2]
	}
	if err := c.learn(ctx); err != nil {
		return err
	}
	for info, err := range c.l.store.List(ctx, c.l.prefix+entryFolder, "") {
		if err != nil {
			return fmt.Errorf("eventlog: check: %w", err)
		}
		p, ok := c.l.parsePosition(entryFolder, info.Name)
		if !ok {
			c.damaged(info.Name, 0, errors.New("is not the name of an entry"))
			continue
		}
		if err := c.entry(ctx, p); err != nil {
			return err
		}
	}
	if c.prev.Pos == 0 && len(c.snaps) == 0 {
		if seen := c.l.standing().seen; seen.Pos > 0 {
			c.report(Problem{Name: c.l.entryName(seen.Pos), Pos: seen.Pos, Err: ErrRolledBack})
		}
		return fmt.Errorf("eventlog: check: %s: %w", c.l.entryName(1), fs.ErrNotExist)
	}
	c.end()
	return c.snapshots(ctx)
}

// learn opens the snapshots, for what terms hold where the log does not begin with
// its first entry.
func (c *checker) learn(ctx context.Context) error {
	if c.sealer.ring == nil {
		return nil
	}
	for _, p := range c.snaps {
		_, err := c.l.openSnapshot(ctx, p)
		var damage *CorruptError
		if err != nil && !errors.As(err, &damage) {
			return err
		}
	}
	return nil
}

func (c *checker) damaged(name string, p Position, err error) {
	c.report(Problem{Name: name, Pos: p, Err: &CorruptError{Op: "check", Name: name, Pos: p, Err: err}})
}

// entry checks the next entry listed.
func (c *checker) entry(ctx context.Context, p Position) error {
	if err := c.gap(ctx, p); err != nil {
		return err
	}
	if err := c.link(ctx, p); err != nil {
		return err
	}
	if seen := c.l.standing().seen; p == seen.Pos && c.prev.Hash != seen.Hash {
		c.report(Problem{Name: c.l.entryName(p), Pos: p, Err: fmt.Errorf("another entry was seen here: %w", ErrRolledBack)})
	}
	return nil
}

// gap deals with positions between the entry before and p.
func (c *checker) gap(ctx context.Context, p Position) error {
	want := c.prev.Pos + 1
	if p == want {
		return nil
	}
	if p <= c.keep {
		// The trimmed past ends here; what there was before is a stray.
		c.chain = false
		return c.stray(ctx, c.prev.Pos)
	}
	want = max(want, c.keep)
	if p-want > maxWindow {
		name := c.l.entryName(want)
		c.damaged(name, want, fmt.Errorf("%w, and all up to entry %d", errMissing, p))
		c.chain = false
		return nil
	}
	for ; want < p; want++ {
		// It may have been created, or trimmed, while we listed.
		if err := c.link(ctx, want); err != nil {
			return err
		}
	}
	return nil
}

// stray reports an entry in the trimmed past, if it was not just trimmed.
func (c *checker) stray(ctx context.Context, p Position) error {
	if p == 0 {
		return nil
	}
	name := c.l.entryName(p)
	there, err := c.l.exists(ctx, name)
	if there {
		c.report(Problem{Name: name, Pos: p, Err: errors.New("entry in the trimmed past, which Trim removes")})
	}
	return err
}

// link reads the entry at p and checks it against the one before. It always
// moves prev to p.
func (c *checker) link(ctx context.Context, p Position) error {
	name := c.l.entryName(p)
	data, hash, err := c.l.fetchHash(ctx, p)
	known := c.chain || p == 1
	before := c.prev
	c.prev, c.chain = Head{p, hash}, err == nil
	if errors.Is(err, fs.ErrNotExist) {
		return c.missing(ctx, name, p)
	}
	if err != nil {
		return err
	}
	h, err := parseEntryHeader(data)
	if err != nil {
		c.damaged(name, p, err)
		return nil
	}
	if known && p > 1 && p <= c.keep && h.prev != before.Hash {
		if err := c.stray(ctx, before.Pos); err != nil {
			return err
		}
		known = false
	}
	if !known {
		before = Head{Pos: p - 1, Hash: h.prev}
		c.term, _ = c.l.terms.in(h.epoch)
		if h.kind == Rekey {
			c.term = term{}
		}
	}
	if c.ended {
		c.damaged(name, p, fmt.Errorf("follows where the %w", ErrEnded))
	}
	e, t, err := c.sealer.decode(before, c.term, data)
	c.term, c.ended = t, h.kind == Tombstone
	if err != nil && h.kind == Rekey {
		c.term = term{epoch: h.epoch}
	}
	c.judge(name, e, err)
	return nil
}

// judge reports what is wrong with an entry.
func (c *checker) judge(name string, e Entry, err error) {
	p := c.prev.Pos
	switch {
	case errors.Is(err, ErrRekeyed):
		c.report(Problem{Name: name, Pos: p, Err: err})
		c.sealer.ring = nil
	case err != nil:
		c.damaged(name, p, err)
	case errors.Is(e.Junk, crypto.ErrDecrypt):
		// Readers pass over it, for it may be anybody's noise. It may as well be
		// mail that was accepted, and damaged since.
		c.damaged(name, p, fmt.Errorf("delivered entry does not open, a message may be lost: %w", e.Junk))
	case e.Junk != nil:
		c.report(Problem{Name: name, Pos: p, Err: fmt.Errorf("delivered entry is junk: %w", e.Junk)})
	}
}

// missing reports an entry that is not there, unless it was trimmed since the
// check began.
func (c *checker) missing(ctx context.Context, name string, p Position) error {
	snaps, err := c.l.snapshots(ctx)
	if err != nil {
		return err
	}
	if n := len(snaps); n >= 2 && p < snaps[n-2] {
		return nil
	}
	c.damaged(name, p, errMissing)
	return nil
}

// end checks where the log ends.
func (c *checker) end() {
	if seen := c.l.standing().seen; c.prev.Pos < seen.Pos {
		c.report(Problem{Name: c.l.entryName(seen.Pos), Pos: seen.Pos,
			Err: fmt.Errorf("log ends at entry %d: %w", c.prev.Pos, ErrRolledBack)})
	}
	if c.sealer.ring != nil && c.term.gen != 0 {
		c.report(Problem{Name: c.l.entryName(c.prev.Pos), Pos: c.prev.Pos, Err: ErrNotInEffect})
	}
}

// snapshots checks the snapshots against the entries.
func (c *checker) snapshots(ctx context.Context) error {
	for info, err := range c.l.store.List(ctx, c.l.prefix+snapshotFolder, "") {
		if err != nil {
			return fmt.Errorf("eventlog: check: %w", err)
		}
		p, ok := c.l.parsePosition(snapshotFolder, info.Name)
		if !ok {
			c.damaged(info.Name, 0, errors.New("is not the name of a snapshot"))
			continue
		}
		if err := c.snapshot(ctx, info.Name, p); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) snapshot(ctx context.Context, name string, p Position) error {
	h, err := c.l.soundSnapshot(ctx, p, p >= c.keep)
	var damage *CorruptError
	switch {
	case errors.As(err, &damage):
		if errors.Is(err, errMissing) {
			return nil // superseded since it was listed
		}
		if errors.Is(err, ErrOtherIdentity) {
			return nil // of an identity before, or of a change that was not made
		}
		c.damaged(name, p, damage.Err)
		return nil
	case err != nil:
		return err
	}
	if c.l.inFuture(h.time) {
		c.report(Problem{Name: name, Pos: p, Err: fmt.Errorf("snapshot is from the future, %v", h.time.UTC())})
	}
	return nil
}
