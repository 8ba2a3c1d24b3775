package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

// Problem is something in a store that is not as it must be.
type Problem struct {
	Object string // the object's name, or the name it should have
	Err    error
	// Harmless: nothing is lost or wrong because of it, such as an object that
	// nothing refers to.
	Harmless bool
}

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
	Problems int
	Harmless int // of Problems
}

// checker carries a check's counts and where to report to.
type checker struct {
	store  *Store
	rep    CheckReport
	report func(Problem)
	gone   map[string]bool // accounts that are being removed
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
var objectNames = regexp.MustCompile(`^(key/[0-9]{4}|slot/[pt]-[0-9a-f]{32}|(log|snap|restored)/[0-9]{16}|(page|meta|body|gc)/[0-9a-f]{32}|quota/[lu]-[0-9]{16})$`)

// Check looks at the whole store without any key: names, sizes, slots, published
// keys, and the chain of every account's log. It goes on past what is wrong,
// never writes, and may run beside everything else. What only the keys show is
// left to [Account.Check]. report is called for each problem; the error is the
// store's or ctx's.
func (s *Store) Check(ctx context.Context, report func(Problem)) (CheckReport, error) {
	c := &checker{store: s, report: report}
	named, err := c.names(ctx)
	if err != nil {
		return c.rep, err
	}
	if c.gone, err = c.removed(ctx); err != nil {
		return c.rep, err
	}
	var id string
	seen := map[string]bool{}
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
				if err := c.account(ctx, id, named, seen); err != nil {
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
		if !seen[id] && c.gone[id] {
			c.problem(Problem{Object: name, Err: errBeingRemoved, Harmless: true})
		} else if !seen[id] {
			c.problem(Problem{Object: name, Err: fmt.Errorf("account %s has no objects: %w", id, fs.ErrNotExist)})
		}
	}
	return c.rep, nil
}

// removed returns the accounts that were removed of late.
func (c *checker) removed(ctx context.Context) (map[string]bool, error) {
	gone := map[string]bool{}
	for info, err := range c.store.blobs.List(ctx, goneFolder, "") {
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
	for info, err := range c.store.blobs.List(ctx, "name/", "") {
		if err != nil {
			return nil, fmt.Errorf("mailbox: check: %w", err)
		}
		b, err := readAll(ctx, c.store.blobs, info.Name, 4096)
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
	prefix := "acct/" + hex + "/"
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
	if err := c.wrong(ctx, prefix+publishedKey, err); err != nil {
		return err
	}
	return c.log(ctx, eventlog.Config{Store: c.store.blobs, Prefix: prefix, ID: eventlog.ID(slot)})
}

// began reports whether an account's log has an entry: all else is made before.
func (c *checker) began(ctx context.Context, prefix string) (bool, error) {
	for _, err := range c.store.blobs.List(ctx, prefix+"log/", "") {
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
	log, err := eventlog.New(cfg)
	if err != nil {
		return err
	}
	err = log.Check(ctx, func(p eventlog.Problem) {
		bad := errors.Is(p.Err, eventlog.ErrCorrupt) || errors.Is(p.Err, eventlog.ErrRolledBack) || errors.Is(p.Err, eventlog.ErrNewerVersion)
		c.problem(Problem{Object: p.Name, Err: p.Err, Harmless: !bad})
	})
	if errors.Is(err, fs.ErrNotExist) {
		return c.wrong(ctx, cfg.Prefix+"log", err)
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
	case strings.HasPrefix(object, "slot/"):
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

// Check looks at everything of one account: the log, opened; every page, all
// metadata, and every body to its last byte, as the age tool would read it. It
// goes on past what is damaged and says what is lost, never writes, and may run
// beside everything else. report is called for each problem; the error is the
// store's or ctx's.
func (h *Account) Check(ctx context.Context, report func(Problem)) (CheckReport, error) {
	a, err := h.fresh(ctx)
	if err != nil {
		return CheckReport{}, err
	}
	defer a.leave()
	c := &accountChecker{checker: checker{store: a.store, report: report}, a: a, bodies: map[eventlog.ObjectID]bool{}}
	c.rep.Accounts = 1
	if err := c.list(ctx); err != nil {
		return c.rep, err
	}
	err = c.log(ctx, eventlog.Config{
		Store: a.store.blobs, Prefix: a.prefix, ID: a.id, Keys: &eventlog.Keys{Identity: a.identity},
	})
	if err != nil {
		return c.rep, err
	}
	for _, m := range a.state().boxes {
		if err := c.box(ctx, m); err != nil {
			return c.rep, err
		}
	}
	if n := c.found - len(c.bodies); n > 0 {
		c.problem(Problem{Object: a.prefix + "body/", Err: fmt.Errorf("%d bodies that no mailbox has", n), Harmless: true})
	}
	return c.rep, nil
}

type accountChecker struct {
	checker
	a      *account
	found  int                        // body objects
	bodies map[eventlog.ObjectID]bool // that a mailbox has and are there
}

// list counts the account's objects and checks their form.
func (c *accountChecker) list(ctx context.Context) error {
	for info, err := range c.store.blobs.List(ctx, c.a.prefix, "") {
		if err != nil {
			return fmt.Errorf("mailbox: check: %w", err)
		}
		c.rep.Objects++
		c.rep.Bytes += info.Size
		object := strings.TrimPrefix(info.Name, c.a.prefix)
		if strings.HasPrefix(object, "body/") {
			c.found++
		}
		if err := c.object(ctx, info.Name, object, info.Size); err != nil {
			return err
		}
	}
	return nil
}

func (c *accountChecker) box(ctx context.Context, m *Mailbox) error {
	last := UID(0)
	for _, r := range m.pages {
		name := c.a.log.ObjectName(objectPage, r.id)
		p, err := c.a.page(ctx, r)
		if err != nil {
			err = fmt.Errorf("%d messages of mailbox %d are lost: %w", r.count, m.id, err)
			if err := c.wrong(ctx, name, err); err != nil {
				return err
			}
			continue
		}
		if is := *p.ref(); is.count != r.count || is.unseen != r.unseen || is.deleted != r.deleted || is.size != r.size || is.maxModSeq != r.maxModSeq {
			c.problem(Problem{Object: name, Err: fmt.Errorf("other counts than the snapshot says: %w", eventlog.ErrCorrupt)})
		}
		for i := range p.len() {
			c.rep.Messages++
			row := p.row(i)
			if row.uid <= last || row.uid >= m.uidNext {
				c.problem(Problem{Object: name, Err: fmt.Errorf("UID %d is out of order in mailbox %d: %w", row.uid, m.id, eventlog.ErrCorrupt)})
			}
			last = row.uid
			if err := c.message(ctx, m, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// message checks one message's metadata and, once for all its copies, its body.
func (c *accountChecker) message(ctx context.Context, m *Mailbox, r row) error {
	name := bodyName(c.a.prefix, r.body.id)
	meta, err := c.a.meta(ctx, r.meta, r.slot)
	if err == nil && meta.Size != int64(r.size) {
		err = eventlog.ErrCorrupt
	}
	if err != nil {
		err = fmt.Errorf("header and structure of UID %d in mailbox %d are lost: %w", r.uid, m.id, err)
		if err := c.wrong(ctx, name, err); err != nil {
			return err
		}
	}
	if c.bodies[r.body.id] {
		return nil
	}
	err = c.body(ctx, name, r)
	if !errors.Is(err, fs.ErrNotExist) {
		c.bodies[r.body.id] = true
	}
	if err != nil {
		err = fmt.Errorf("UID %d in mailbox %d is lost: %w", r.uid, m.id, err)
	}
	return c.wrong(ctx, name, err)
}

// body reads a body whole, as the mailbox does and, its header, as age does.
func (c *accountChecker) body(ctx context.Context, name string, r row) error {
	info, err := c.store.blobs.Stat(ctx, name)
	if err != nil {
		return err
	}
	if want := r.body.key.EncryptedSize(int64(r.size)); info.Size != want {
		return fmt.Errorf("%d bytes, want %d: %w", info.Size, want, eventlog.ErrCorrupt)
	}
	head, err := c.store.blobs.Open(ctx, name, 0, crypto.MaxBodyHeader)
	if err != nil {
		return err
	}
	key, err := crypto.RecoverBodyKey(head, c.a.identity)
	head.Close()
	if err == nil && key != r.body.key {
		err = errors.New("header holds another key")
	}
	if err != nil {
		return fmt.Errorf("the age tool cannot read it: %w: %w", eventlog.ErrCorrupt, err)
	}
	body, err := c.a.openBody(ctx, r.body, int64(r.size), 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	n, err := io.Copy(io.Discard, body)
	if err == nil && n != int64(r.size) {
		err = eventlog.ErrCorrupt
	}
	return err
}
