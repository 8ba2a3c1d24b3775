package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
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
	Mailbox     MailboxID
	First, Last UID
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

// CheckReport counts what a check looked at.
type CheckReport struct {
	Accounts int
	Objects  int   // in the store, or of the account
	Bytes    int64 // of those
	Messages int   // in all mailboxes; only known with the keys
	Lost     int   // of Messages: nobody can read them any more
	Problems int
	Harmless int // of Problems
	// Heads says how far the log of each account goes, but of damaged ones. See
	// [Store.CheckSeen].
	Heads Heads
}

// checker carries a check's counts and where to report to.
type checker struct {
	store  *Store
	rep    CheckReport
	report func(Problem)
	gone   map[string]bool // accounts that are being removed
	heads  Heads           // that were seen before
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
var objectNames = regexp.MustCompile(`^(key/[0-9]{4}|slot/[pt]-[0-9a-f]{32}|(log|snap|restored)/[0-9]{16}|(page|meta|body|gc)/[0-9a-f]{32}|ring/[0-9a-f]{32}(-[0-9]{16})?|quota/[lu]-[0-9]{16})$`)

// Check looks at the whole store without any key: names, sizes, slots, published
// keys, and the chain of every account's log. It goes on past what is wrong,
// never writes, and may run beside everything else. What only the keys show is
// left to [Account.Check]. report is called for each problem; the error is the
// store's or ctx's.
func (s *Store) Check(ctx context.Context, report func(Problem)) (CheckReport, error) {
	return s.CheckSeen(ctx, nil, report)
}

// CheckSeen is Check, and compares every log with the head that an earlier check
// found: a log that was cut or set back to an older copy since, or has another
// history, is [eventlog.ErrRolledBack], also if this process never saw the newer
// one. So is an account that is not there any more; one that was removed on
// purpose must be taken out of seen.
func (s *Store) CheckSeen(ctx context.Context, seen Heads, report func(Problem)) (CheckReport, error) {
	c := &checker{store: s, report: report, heads: seen}
	c.rep.Heads = Heads{}
	named, err := c.names(ctx)
	if err != nil {
		return c.rep, err
	}
	if c.gone, err = c.removed(ctx); err != nil {
		return c.rep, err
	}
	var id string
	seenAccounts := map[string]bool{}
	for info, err := range s.blobs.List(ctx, "", "") {
		if err != nil {
			return c.rep, fmt.Errorf("mailbox: check: %w", err)
		}
		c.rep.Objects++
		c.rep.Bytes += info.Size
		switch folder, rest, _ := strings.Cut(info.Name, "/"); folder {
		case "acct":
			account, object, _ := strings.Cut(rest, "/")
			if account != id {
				id = account
				if err := c.account(ctx, id, named, seenAccounts); err != nil {
					return c.rep, err
				}
			}
			if c.gone[id] {
				continue
			}
			if err := c.object(ctx, info.Name, object, info.Size); err != nil {
				return c.rep, err
			}
		case "name", "store", "wake", "gone":
		default:
			c.problem(Problem{Object: info.Name, Err: errors.New("does not belong to a letterlock store"), Harmless: true})
		}
	}
	for id, name := range named {
		if !seenAccounts[id] && c.gone[id] {
			c.problem(Problem{Object: name, Err: errBeingRemoved, Harmless: true})
		} else if !seenAccounts[id] {
			c.problem(Problem{Object: name, Err: fmt.Errorf("account %s has no objects: %w", id, fs.ErrNotExist)})
		}
	}
	for id, head := range c.heads {
		if !seenAccounts[id.String()] && !c.gone[id.String()] {
			c.problem(Problem{Object: layout.AccountPrefix(id), Err: fmt.Errorf("account is gone, entry %d was seen: %w", head.Pos, eventlog.ErrRolledBack)})
		}
	}
	return c.rep, nil
}

// removed returns the accounts that were removed of late.
func (c *checker) removed(ctx context.Context) (map[string]bool, error) {
	gone := map[string]bool{}
	for info, err := range c.store.blobs.List(ctx, layout.RemovedFolder, "") {
		if err != nil {
			return nil, fmt.Errorf("mailbox: check: %w", err)
		}
		g, err := c.store.readGone(ctx, info.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			if err := c.wrong(ctx, info.Name, err); err != nil {
				return nil, err
			}
			continue
		}
		gone[g.id.String()] = true
	}
	return gone, nil
}

// names returns which accounts have a name: name objects by account.
func (c *checker) names(ctx context.Context) (map[string]string, error) {
	named := map[string]string{}
	for info, err := range c.store.blobs.List(ctx, layout.NameFolder, "") {
		if err != nil {
			return nil, fmt.Errorf("mailbox: check: %w", err)
		}
		b, err := layout.ReadAll(ctx, c.store.blobs, info.Name, 4096)
		var id eventlog.ID
		if err == nil {
			id, err = parseName(info.Name, b)
		}
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
func (c *checker) account(ctx context.Context, hex string, named map[string]string, seen map[string]bool) error {
	prefix := layout.AccountFolder + hex + "/"
	slot, err := crypto.ParseSlotID(hex) // the same 32 digits
	if err != nil {
		c.problem(Problem{Object: prefix, Err: errors.New("is not the name of an account"), Harmless: true})
		return nil
	}
	seen[hex] = true
	if c.gone[hex] {
		c.problem(Problem{Object: prefix, Err: errBeingRemoved, Harmless: true})
		return nil
	}
	c.rep.Accounts++
	if named[hex] == "" {
		c.problem(Problem{Object: prefix, Err: errors.New("no name refers to this account"), Harmless: true})
		// One that is being made, or the rest of a try that failed, need not be whole.
		if began, err := c.began(ctx, prefix); err != nil || !began {
			return err
		}
	}
	_, err = c.store.published(ctx, prefix)
	if err := c.wrong(ctx, prefix+layout.PublishedKey, err); err != nil {
		return err
	}
	return c.log(ctx, eventlog.Config{Store: c.store.blobs, Prefix: prefix, ID: eventlog.ID(slot)})
}

// began reports whether an account's log has an entry: all else is made before.
func (c *checker) began(ctx context.Context, prefix string) (bool, error) {
	for _, err := range c.store.blobs.List(ctx, eventlog.EntryFolder(prefix), "") {
		if err != nil {
			return false, fmt.Errorf("mailbox: check: %w", err)
		}
		return true, nil
	}
	return false, nil
}

func (c *checker) log(ctx context.Context, cfg eventlog.Config) error {
	cfg.Grace, cfg.Now, cfg.Logger = c.store.opts.Grace, c.store.opts.Now, c.store.logger
	cfg.Seen = c.store.seenHead(cfg.ID)
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
		return c.wrong(ctx, cfg.Prefix+"log", err)
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
		_, err := c.store.slot(ctx, name)
		return c.wrong(ctx, name, err)
	case strings.HasPrefix(object, quotaLimits):
		_, err := c.store.readNote(ctx, name, limitsHead)
		return c.replaced(ctx, name, err)
	case strings.HasPrefix(object, quotaUsage):
		_, err := c.store.readNote(ctx, name, usageHead)
		return c.replaced(ctx, name, err)
	}
	return nil
}
