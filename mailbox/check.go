package mailbox

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/check"
	"github.com/letterlock/letterlock/mailbox/internal/keyring"
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
	Mailbox     MailboxID
	First, Last UID
	Messages    int // between them
	Part        LossPart
}

// LossPart is a part of a message, a string.
type LossPart = check.LossPart

const (
	LostMessage = check.LostMessage // all of it, with its flags
	LostBody    = check.LostBody    // its bytes; header and structure are there
	LostHeader  = check.LostHeader  // what is kept of it, which can be found in its bytes again
)

// String names the object and what is wrong with it.
func (p Problem) String() string { return check.Problem{Object: p.Object, Err: p.Err}.String() }

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
	c := s.checks()
	rep, err := c.Check(ctx, seen, reportTo(report))
	return checkReport(rep), err
}

// checks returns the store as a check works on it.
func (s *Store) checks() check.Store {
	return check.Store{
		Blobs: s.blobs, Grace: s.opts.Grace, Now: s.opts.Now, Logger: s.logger, Objects: checkedObjects{s}, Seen: s.seenHead,
	}
}

func checkReport(r check.Report) CheckReport {
	return CheckReport{
		Accounts: r.Accounts, Objects: r.Objects, Bytes: r.Bytes, Messages: r.Messages, Lost: r.Lost,
		Problems: r.Problems, Harmless: r.Harmless, Heads: r.Heads,
	}
}

func reportTo(report func(Problem)) func(check.Problem) {
	return func(p check.Problem) {
		report(Problem{Object: p.Object, Err: p.Err, Harmless: p.Harmless, Lost: (*Loss)(p.Lost)})
	}
}

// checkedObjects reads objects of a store for a check.
type checkedObjects struct{ store *Store }

func (o checkedObjects) RemovedAccount(ctx context.Context, name string) (eventlog.ID, error) {
	g, err := o.store.readGone(ctx, name)
	return g.id, err
}

func (o checkedObjects) NamedAccount(ctx context.Context, name string) (eventlog.ID, error) {
	b, err := layout.ReadAll(ctx, o.store.blobs, name, 4096)
	if err != nil {
		return eventlog.ID{}, err
	}
	return parseName(name, b)
}

func (o checkedObjects) PublishedKeys(ctx context.Context, id eventlog.ID) error {
	_, err := o.store.claims(ctx, id, nil)
	return err
}

func (o checkedObjects) Slot(ctx context.Context, name string) error {
	_, err := o.store.slot(ctx, name)
	return err
}

func (o checkedObjects) Quota(ctx context.Context, name string) error {
	head := usageHead
	if strings.Contains(name, "/"+quotaLimits) {
		head = limitsHead
	}
	_, err := o.store.readNote(ctx, name, head)
	return err
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
	return a.check(ctx, a.state(), report)
}

// CheckLogin is [Account.Check] of an account that may be too damaged to be
// opened: it checks what the log leads to before the damage. It fails as
// [Store.Login] does for a wrong name or secret.
func (s *Store) CheckLogin(ctx context.Context, name string, secret []byte, report func(Problem)) (CheckReport, error) {
	refused := map[crypto.SlotID]bool{}
	for {
		who, err := s.identify(ctx, netip.Addr{}, name, secret, refused)
		if err != nil {
			return CheckReport{}, err
		}
		rep, err := s.checkIdentity(ctx, who.id, who.identity, who.name, report)
		if who.slot == nil || !errors.Is(err, eventlog.ErrNotInEffect) {
			return rep, err
		}
		s.verified.Forget(who.id, *who.slot)
		refused[*who.slot] = true // of a change of identity that was not made
	}
}

// CheckIdentity is CheckLogin with the account's identity.
func (s *Store) CheckIdentity(ctx context.Context, name string, identity *crypto.Identity, report func(Problem)) (CheckReport, error) {
	name, err := CanonicalAccount(name)
	if err != nil {
		return CheckReport{}, err
	}
	id, err := s.find(ctx, name)
	if err != nil {
		return CheckReport{}, err
	}
	own, err := crypto.ParseIdentity(identity.Export())
	if err != nil {
		return CheckReport{}, err
	}
	return s.checkIdentity(ctx, id, own, name, report)
}

// checkIdentity takes identity over.
func (s *Store) checkIdentity(ctx context.Context, id eventlog.ID, identity *crypto.Identity, name string, report func(Problem)) (CheckReport, error) {
	c, err := s.claimant(ctx, id, identity, name, nil)
	if err != nil {
		return CheckReport{}, err
	}
	a, err := newAccount(s, id, identity, c.before...)
	if err != nil {
		c.wipe()
		return CheckReport{}, err
	}
	defer a.close()
	last, damage := a.salvage(ctx)
	for _, over := range []error{eventlog.ErrRekeyed, eventlog.ErrEnded, eventlog.ErrNotInEffect} {
		if errors.Is(damage, over) {
			return CheckReport{}, s.isSwapped(ctx, c, a.explain(damage))
		}
	}
	if damage != nil && ctx.Err() != nil {
		return CheckReport{}, damage
	}
	if damage != nil && last.NextMailbox == 0 {
		if swapped := s.isSwapped(ctx, c, damage); errors.Is(swapped, ErrSwappedKey) {
			return CheckReport{}, swapped // nothing here is this identity's
		}
	}
	if c.broken != nil {
		report(Problem{Object: a.prefix + layout.RingFolder, Err: c.broken})
	}
	if damage != nil {
		report(Problem{Object: eventlog.EntryFolder(a.prefix), Err: fmt.Errorf("the account cannot be opened; what the log says up to entry %d is checked: %w", last.At, damage)})
	} else if _, err := a.mailGoes(ctx, c); err != nil {
		e, _ := a.log.Epoch()
		report(Problem{Object: keyring.Name{Epoch: e, Claim: true}.Object(a.prefix), Err: err})
	}
	return a.check(ctx, last, report)
}

// salvage reads the log as far as it can be read, and returns the state there and
// why it ends.
func (a *account) salvage(ctx context.Context) (*state.Account, error) {
	m := model{a}
	s, err := m.Load(ctx, a.log)
	if err != nil {
		a.log.Seek(eventlog.Head{})
		s = &state.Account{}
	}
	for e, behind := range a.log.Read(ctx) {
		if behind != nil {
			return s, errors.Join(err, behind)
		}
		for _, record := range e.Records {
			next, behind := m.Apply(ctx, s, e.Pos, e.Kind, record)
			if behind == nil {
				s = next
			} else if e.Kind != eventlog.Delivered || !errors.Is(behind, eventlog.ErrSkip) {
				return s, errors.Join(err, behind)
			}
		}
	}
	return s, err
}

func (a *account) check(ctx context.Context, s *state.Account, report func(Problem)) (CheckReport, error) {
	c := a.checks()
	rep, err := c.Check(ctx, s, reportTo(report))
	return checkReport(rep), err
}

// checks returns the account as a check works on it.
func (a *account) checks() check.Account {
	return check.Account{
		Store: a.store.checks(), Keys: a.keys(), Identities: a.identities(), Pages: a.pages, Garbage: a.garbage(),
	}
}

// Heads says how far the logs of accounts were seen to go. They are no secret. As
// text, which is to be kept where the store's owner does not write, there is a
// line for each account: its ID, the position and the hash of its last entry.
type Heads map[eventlog.ID]eventlog.Head

// WriteTo writes the heads as text, in the order of IDs.
func (h Heads) WriteTo(w io.Writer) (int64, error) {
	lines := make([]string, 0, len(h))
	for id, head := range h {
		lines = append(lines, fmt.Sprintf("%v %d %v\n", id, head.Pos, head.Hash))
	}
	slices.Sort(lines)
	n, err := io.WriteString(w, strings.Join(lines, ""))
	return int64(n), err
}

// ReadHeads reads what WriteTo wrote.
func ReadHeads(r io.Reader) (Heads, error) {
	h := Heads{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		id, head, err := parseHead(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("mailbox: heads: line %d: %w", n, err)
		}
		h[id] = head
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("mailbox: heads: %w", err)
	}
	return h, nil
}

func parseHead(line string) (id eventlog.ID, head eventlog.Head, err error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return id, head, errors.New("want an ID, a position and a hash")
	}
	object, err := eventlog.ParseObjectID(fields[0]) // the same 32 digits
	if err != nil {
		return id, head, errors.New("not an account's ID")
	}
	pos, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil || pos == 0 {
		return id, head, errors.New("not a position")
	}
	n, err := hex.Decode(head.Hash[:], []byte(fields[2][:min(len(fields[2]), 2*len(head.Hash))]))
	if err != nil || n != len(head.Hash) || len(fields[2]) != 2*n {
		return id, head, errors.New("not a hash")
	}
	head.Pos = eventlog.Position(pos)
	return eventlog.ID(object), head, nil
}
