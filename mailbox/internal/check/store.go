// Package check finds what is wrong in a store, and what is lost by it, and repairs what
// loses nothing.
//
//	Store.Check     without any key: names, sizes, slots, published keys, chains of logs
//	Account.Check   with the keys: every page, all metadata, every body
//	Account.Repair  a snapshot in the place of a damaged one
//
// A check goes on past what is wrong and never writes.
package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Problem is something in a store that is not as it must be.
type Problem struct {
	Object string // the object's name, or the name it should have
	Err    error
	// Harmless: nothing is lost or wrong because of it, such as an object that
	// nothing refers to.
	Harmless bool
	Lost     *Loss // what of a mailbox is lost by it; only found with the keys
}

// Loss is what of a mailbox cannot be read any more. All that no Loss names can.
type Loss struct {
	Mailbox     state.MailboxID
	First, Last state.UID
	Messages    int // between them
	Part        LossPart
}

// LossPart is a part of a message.
type LossPart string

const (
	LostMessage LossPart = "message" // all of it, with its flags
	LostBody    LossPart = "body"    // its bytes; header and structure are there
	LostHeader  LossPart = "header"  // what is kept of it, which can be found in its bytes again
)

// String names the object and what is wrong with it.
func (p Problem) String() string {
	if text := p.Err.Error(); strings.Contains(text, p.Object) {
		return text
	}
	return p.Object + ": " + p.Err.Error()
}

// Report counts what a check looked at.
type Report struct {
	Accounts int
	Objects  int   // in the store, or of the account
	Bytes    int64 // of those
	Messages int   // in all mailboxes; only known with the keys
	Lost     int   // of Messages: nobody can read them any more
	Problems int
	Harmless int // of Problems
	// Heads says how far the log of each account goes, but of damaged ones.
	Heads map[eventlog.ID]eventlog.Head
}

// Objects reads objects that package mailbox writes, and says what is wrong with one.
type Objects interface {
	// RemovedAccount returns the account that an object says is being removed.
	RemovedAccount(ctx context.Context, name string) (eventlog.ID, error)
	// NamedAccount returns the account that a name leads to.
	NamedAccount(ctx context.Context, name string) (eventlog.ID, error)
	// PublishedKeys checks what is published of an account for deliverers.
	PublishedKeys(ctx context.Context, id eventlog.ID) error
	Slot(ctx context.Context, name string) error
	Quota(ctx context.Context, name string) error
}

// Store is the store that is checked.
type Store struct {
	Blobs   blob.Store
	Grace   time.Duration
	Now     func() time.Time
	Logger  *slog.Logger
	Objects Objects

	// Seen returns the furthest head of an account's log that this process saw.
	Seen func(eventlog.ID) eventlog.Head
}

// checker carries a check's counts and where to report to.
type checker struct {
	*Store
	rep      Report
	report   func(Problem)
	named    map[string]string // name objects by account
	gone     map[string]bool   // accounts that are being removed
	accounts map[string]bool   // that have objects
	heads    map[eventlog.ID]eventlog.Head
}

var errBeingRemoved = errors.New("belongs to an account that was removed, and goes when removed accounts are swept")

func (c *checker) problem(p Problem) {
	c.rep.Problems++
	if p.Harmless {
		c.rep.Harmless++
	}
	c.report(p)
}

// wrong reports a damaged object; it returns err if that is the end of the check.
func (c *checker) wrong(ctx context.Context, object string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.problem(Problem{Object: object, Err: err})
	return nil
}

// replaced is wrong for objects that a newer one may take the place of at any time.
func (c *checker) replaced(ctx context.Context, object string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return c.wrong(ctx, object, err)
}

// objectNames are the names that may stand below an account's prefix.
var objectNames = regexp.MustCompile(`^(key/[0-9]{10}(-[0-9a-f]{8}-[0-9a-f]{32})?|slot/[pt]-[0-9a-f]{32}|(log|snap|restored)/[0-9]{16}|(pack|body|gc)/[0-9a-f]{32}|ring/[0-9a-f]{32}|quota/[lu]-[0-9]{16})$`)

// Check looks at the whole store without any key, and compares every log with the head
// that was seen before.
func (s *Store) Check(ctx context.Context, seen map[eventlog.ID]eventlog.Head, report func(Problem)) (Report, error) {
	c := &checker{Store: s, report: report, heads: seen, accounts: map[string]bool{}}
	c.rep.Heads = map[eventlog.ID]eventlog.Head{}
	err := c.run(ctx)
	return c.rep, err
}

func (c *checker) run(ctx context.Context) (err error) {
	if c.named, err = c.names(ctx); err != nil {
		return err
	}
	if c.gone, err = c.removed(ctx); err != nil {
		return err
	}
	id := "" // of the account that the listing is in
	for info, err := range c.Blobs.List(ctx, "", "") {
		if err != nil {
			return fmt.Errorf("mailbox: check: %w", err)
		}
		c.rep.Objects++
		c.rep.Bytes += info.Size
		rest, ok := strings.CutPrefix(info.Name, layout.AccountFolder)
		if !ok {
			c.outside(info.Name)
			continue
		}
		account, object, _ := strings.Cut(rest, "/")
		if account != id {
			id = account
			if err := c.account(ctx, id); err != nil {
				return err
			}
		}
		if c.gone[id] {
			continue
		}
		if err := c.object(ctx, info.Name, object, info.Size); err != nil {
			return err
		}
	}
	c.missing()
	return nil
}

// outside checks the name of an object that is of no account.
func (c *checker) outside(name string) {
	switch layout.FolderOf(name) {
	case layout.NameFolder, layout.StoreFolder, layout.WakeFolder, layout.RemovedFolder:
	default:
		c.problem(Problem{Object: name, Err: errors.New("does not belong to a letterlock store"), Harmless: true})
	}
}

// missing finds accounts that have a name, or were seen before, and no objects.
func (c *checker) missing() {
	for id, name := range c.named {
		if !c.accounts[id] && c.gone[id] {
			c.problem(Problem{Object: name, Err: errBeingRemoved, Harmless: true})
		} else if !c.accounts[id] {
			c.problem(Problem{Object: name, Err: fmt.Errorf("account %s has no objects: %w", id, fs.ErrNotExist)})
		}
	}
	for id, head := range c.heads {
		if !c.accounts[id.String()] && !c.gone[id.String()] {
			c.problem(Problem{Object: layout.AccountPrefix(id), Err: fmt.Errorf("account is gone, entry %d was seen: %w", head.Pos, eventlog.ErrRolledBack)})
		}
	}
}

// removed returns the accounts that were removed of late.
func (c *checker) removed(ctx context.Context) (map[string]bool, error) {
	gone := map[string]bool{}
	for info, err := range c.Blobs.List(ctx, layout.RemovedFolder, "") {
		if err != nil {
			return nil, fmt.Errorf("mailbox: check: %w", err)
		}
		id, err := c.Objects.RemovedAccount(ctx, info.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			if err := c.wrong(ctx, info.Name, err); err != nil {
				return nil, err
			}
			continue
		}
		gone[id.String()] = true
	}
	return gone, nil
}

// names returns which accounts have a name: name objects by account.
func (c *checker) names(ctx context.Context) (map[string]string, error) {
	named := map[string]string{}
	for info, err := range c.Blobs.List(ctx, layout.NameFolder, "") {
		if err != nil {
			return nil, fmt.Errorf("mailbox: check: %w", err)
		}
		id, err := c.Objects.NamedAccount(ctx, info.Name)
		if err != nil {
			if err := c.wrong(ctx, info.Name, err); err != nil {
				return nil, err
			}
			continue
		}
		named[id.String()] = info.Name
	}
	return named, nil
}

// account checks what an account consists of, and the chain of its log.
func (c *checker) account(ctx context.Context, hex string) error {
	prefix := layout.AccountFolder + hex + "/"
	slot, err := crypto.ParseSlotID(hex) // the same 32 digits
	if err != nil {
		c.problem(Problem{Object: prefix, Err: errors.New("is not the name of an account"), Harmless: true})
		return nil
	}
	c.accounts[hex] = true
	if c.gone[hex] {
		c.problem(Problem{Object: prefix, Err: errBeingRemoved, Harmless: true})
		return nil
	}
	c.rep.Accounts++
	if c.named[hex] == "" {
		c.problem(Problem{Object: prefix, Err: errors.New("no name refers to this account"), Harmless: true})
		// One that is being made, the rest of a try that failed, and what is left of a
		// removed one need not be whole.
		if goesOn, err := c.goesOn(ctx, eventlog.ID(slot)); err != nil || !goesOn {
			return err
		}
	}
	err = c.Objects.PublishedKeys(ctx, eventlog.ID(slot))
	if err := c.wrong(ctx, prefix+layout.KeyFolder, err); err != nil {
		return err
	}
	return c.log(ctx, eventlog.Config{Store: c.Blobs, Prefix: prefix, ID: eventlog.ID(slot)})
}

// goesOn reports whether an account's log has an entry, which is made after all else,
// and does not end in a tombstone.
func (c *checker) goesOn(ctx context.Context, id eventlog.ID) (bool, error) {
	if id == (eventlog.ID{}) {
		return false, nil // no account's
	}
	log, err := eventlog.New(eventlog.Config{Store: c.Blobs, Prefix: layout.AccountPrefix(id), ID: id})
	if err != nil {
		return false, err
	}
	last := eventlog.Tombstone
	for info, err := range log.List(ctx, 0) {
		if err != nil && !errors.Is(err, eventlog.ErrCorrupt) && !errors.Is(err, eventlog.ErrNewerVersion) {
			return false, fmt.Errorf("mailbox: check: %w", err)
		}
		last = info.Kind
	}
	return last != eventlog.Tombstone, nil
}

func (c *checker) log(ctx context.Context, cfg eventlog.Config) error {
	cfg.Grace, cfg.Now, cfg.Logger = c.Grace, c.Now, c.Logger
	cfg.Seen = c.Seen(cfg.ID)
	if h := c.heads[cfg.ID]; h.Pos > cfg.Seen.Pos {
		cfg.Seen = h
	}
	log, err := eventlog.New(cfg)
	if err != nil {
		return err
	}
	head, err := log.CheckHead(ctx, func(p eventlog.Problem) {
		bad := errors.Is(p.Err, eventlog.ErrCorrupt) || errors.Is(p.Err, eventlog.ErrRolledBack) || errors.Is(p.Err, eventlog.ErrNewerVersion)
		c.problem(Problem{Object: p.Name, Err: p.Err, Harmless: !bad})
	})
	if errors.Is(err, fs.ErrNotExist) {
		return c.wrong(ctx, eventlog.EntryFolder(cfg.Prefix), err)
	}
	if head.Pos > 0 && c.rep.Heads != nil {
		c.rep.Heads[cfg.ID] = head
	}
	return err
}

// object checks the form of one object below an account's prefix.
func (c *checker) object(ctx context.Context, name, object string, size int64) error {
	switch {
	case !objectNames.MatchString(object):
		c.problem(Problem{Object: name, Err: errors.New("does not belong to an account"), Harmless: true})
	case size == 0:
		c.problem(Problem{Object: name, Err: fmt.Errorf("is empty: %w", eventlog.ErrCorrupt)})
	case strings.HasPrefix(object, layout.SlotFolder):
		return c.wrong(ctx, name, c.Objects.Slot(ctx, name))
	case strings.HasPrefix(object, layout.QuotaFolder):
		return c.replaced(ctx, name, c.Objects.Quota(ctx, name))
	}
	return nil
}
