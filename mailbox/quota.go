package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Quota is what an account may hold. A copy of a message counts as the message
// does, although its body is stored once.
type Quota struct {
	Storage  int64 // bytes of all messages; 0: no limit
	Messages int64 // 0: no limit
}

// Held is what an account holds, over all its mailboxes.
type Held struct {
	Storage  int64 // bytes of all messages
	Messages int64
}

// over reports whether a usage is beyond the quota.
func (q Quota) over(u Held) bool {
	return q.Storage > 0 && u.Storage > q.Storage || q.Messages > 0 && u.Messages > q.Messages
}

func (u Held) plus(o Held) Held { return Held{u.Storage + o.Storage, u.Messages + o.Messages} }

// check reports whether there is room for more.
func (q Quota) check(has, more Held) error {
	switch {
	case !q.over(has.plus(more)):
		return nil
	case q.over(more): // nor would it fit if all else were gone
		return fmt.Errorf("%w: %w", ErrOverQuota, ErrTooLarge)
	}
	return ErrOverQuota
}

// usage adds up the mailboxes' counts.
func usage(s *state.Account) (u Held) {
	for _, m := range s.Mailboxes {
		u.Storage += int64(m.Size)
		u.Messages += int64(m.Messages)
	}
	return u
}

// Quotas reports whether limits hold: [Options.Quotas].
func (s *Store) Quotas() bool { return s.opts.Quotas }

// Quotas reports whether limits hold for the account: [Options.Quotas].
func (h *Account) Quotas() bool { return h.account.store.opts.Quotas }

// Quota returns the account's limits and what it holds. It reads no messages.
func (h *Account) Quota(ctx context.Context) (Quota, Held, error) {
	a, err := h.freshEnough(ctx)
	if err != nil {
		return Quota{}, Held{}, err
	}
	defer a.leave()
	q, err := a.limits(ctx)
	if err != nil {
		return Quota{}, Held{}, err
	}
	return q, usage(a.state()), nil
}

// DeletedStorage returns how many bytes the messages of a mailbox have that an
// expunge would remove (RFC 9208 section 4.1.4). It reads the pages that have
// such.
func (h *Account) DeletedStorage(ctx context.Context, name string) (int64, error) {
	name, err := CanonicalName(name)
	if err != nil {
		return 0, err
	}
	a, err := h.freshEnough(ctx)
	if err != nil {
		return 0, err
	}
	defer a.leave()
	m := a.state().ByName(name)
	if m == nil {
		return 0, ErrNoMailbox
	}
	sum := int64(0)
	for _, r := range m.Pages {
		if r.Deleted == 0 {
			continue
		}
		p, err := a.pages.Page(ctx, r)
		if err != nil {
			return 0, err
		}
		for i, f := range p.Flags {
			if f&state.Deleted != 0 {
				sum += int64(p.Sizes[i])
			}
		}
	}
	return sum, nil
}

// Defaults of [Options].
const (
	DefaultMaxMessages        = 4_000_000
	DefaultMaxMailboxMessages = 2_000_000
)

// room returns how many messages more the account and the mailbox may have.
func (a *account) room(s *state.Account, to *state.Mailbox) (account, mailbox int64) {
	o := &a.store.opts
	return o.MaxMessages - usage(s).Messages, o.MaxMailboxMessages - int64(to.Messages)
}

// fits reports whether the account has room for more, of which so many messages come to
// a mailbox.
func (a *account) fits(ctx context.Context, s *state.Account, to *state.Mailbox, into int64, more Held) error {
	if account, mailbox := a.room(s, to); into > 0 && into > mailbox || more.Messages > 0 && more.Messages > account {
		return ErrFull
	}
	return a.fitsQuota(ctx, s, more)
}

// fitsQuota reports whether the account's quota has room for more.
func (a *account) fitsQuota(ctx context.Context, s *state.Account, more Held) error {
	q, err := a.limits(ctx)
	if err != nil || q == (Quota{}) {
		return err
	}
	return q.check(usage(s), more)
}

// quotaLife is how long limits are used without looking whether they changed.
const quotaLife = 5 * time.Minute

// limits returns the account's quota.
func (a *account) limits(ctx context.Context) (Quota, error) {
	if !a.store.opts.Quotas {
		return Quota{}, nil
	}
	if n := a.quota.Load(); n != nil && time.Since(n.read) < quotaLife {
		return n.Quota, nil
	}
	n, err := a.store.readQuota(ctx, a.prefix)
	if err != nil {
		return Quota{}, err
	}
	a.quota.Store(n)
	return n.Quota, nil
}

// Objects of quotas: an operator's limits, numbered, and what a process with the
// keys has noted of the usage, by its position in the log.
const (
	quotaLimits = layout.QuotaFolder + "l-"
	quotaUsage  = layout.QuotaFolder + "u-"

	limitsHead = "letterlock quota 1"
	usageHead  = "letterlock usage 1"

	maxQuotaObject = 256
)

// quotaNote is what a process knows of an account's quota.
type quotaNote struct {
	Quota
	number uint64 // of the object; 0: there is none
	noted  Held
	at     uint64 // position of the usage; 0: none was noted
	read   time.Time
}

// SetQuota limits what an account may hold. It needs no secret of the account, so
// an operator can do it. Other processes follow within five minutes. A limit
// below what is there takes nothing away: it refuses more. The zero Quota removes
// the limits. It fails with [ErrNoAccount], or without [Options.Quotas].
//
// Whoever holds the store can read and change the limits. While there are any,
// they can also read the sum of sizes and the number of messages, which the limits
// need to be known for deliveries.
func (s *Store) SetQuota(ctx context.Context, name string, q Quota) error {
	if !s.opts.Quotas {
		return errors.New("mailbox: quota: Options.Quotas is not set")
	}
	if q.Storage < 0 || q.Messages < 0 {
		return fmt.Errorf("mailbox: quota: a limit is negative")
	}
	id, err := s.lookUp(ctx, name)
	if err != nil {
		return err
	}
	prefix := layout.AccountPrefix(id)
	for {
		was, err := s.readQuota(ctx, prefix)
		if err != nil {
			return err
		}
		object := quotaName(prefix+quotaLimits, was.number+1)
		err = s.blobs.Create(ctx, object, strings.NewReader(quotaText(limitsHead, q.Storage, q.Messages)))
		if errors.Is(err, fs.ErrExist) {
			continue // another operator was faster: ours is the later word
		}
		if err != nil {
			return fmt.Errorf("mailbox: set quota: %w", err)
		}
		s.dropOlder(ctx, prefix+quotaLimits, object)
		s.forgetQuota(id)
		return nil
	}
}

// Quota returns an account's limits, without a secret. It fails with
// [ErrNoAccount].
func (s *Store) Quota(ctx context.Context, name string) (Quota, error) {
	id, err := s.lookUp(ctx, name)
	if err != nil {
		return Quota{}, err
	}
	n, err := s.readQuota(ctx, layout.AccountPrefix(id))
	if err != nil {
		return Quota{}, err
	}
	return n.Quota, nil
}

func (s *Store) lookUp(ctx context.Context, name string) (eventlog.ID, error) {
	name, err := CanonicalAccount(name)
	if err != nil {
		return eventlog.ID{}, fmt.Errorf("%w: %w", ErrNoAccount, err)
	}
	return s.find(ctx, name)
}

// forgetQuota makes this process look again at the next use.
func (s *Store) forgetQuota(id eventlog.ID) {
	if a := s.openAccount(id); a != nil {
		a.quota.Store(nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropInboxes(id)
}

func quotaName(prefix string, n uint64) string { return fmt.Sprintf("%s%016d", prefix, n) }

func quotaText(head string, storage, messages int64) string {
	return fmt.Sprintf("%s\nstorage %d\nmessages %d\n", head, storage, messages)
}

func parseQuota(head string, b []byte) (storage, messages int64, err error) {
	_, err = fmt.Sscanf(string(b), head+"\nstorage %d\nmessages %d\n", &storage, &messages)
	if err != nil || storage < 0 || messages < 0 || quotaText(head, storage, messages) != string(b) {
		return 0, 0, fmt.Errorf("not a quota: %w", eventlog.ErrCorrupt)
	}
	return storage, messages, nil
}

// readQuota reads the newest limits and the newest usage: one listing, and a read
// for each that there is.
func (s *Store) readQuota(ctx context.Context, prefix string) (*quotaNote, error) {
	n := &quotaNote{read: time.Now()}
	for range 3 {
		var limits, usage string
		for info, err := range s.blobs.List(ctx, prefix+layout.QuotaFolder, "") {
			if err != nil {
				return nil, fmt.Errorf("mailbox: read quota: %w", err)
			}
			switch rest := strings.TrimPrefix(info.Name, prefix); {
			case strings.HasPrefix(rest, quotaLimits):
				limits = info.Name
			case strings.HasPrefix(rest, quotaUsage):
				usage = info.Name
			}
		}
		if limits == "" {
			return n, nil
		}
		l, err := s.readNote(ctx, limits, limitsHead)
		n.Quota, n.number = Quota(l.Held), l.number
		if err == nil && usage != "" {
			l, err = s.readNote(ctx, usage, usageHead)
			n.noted, n.at = l.Held, l.number
		}
		if !errors.Is(err, fs.ErrNotExist) { // a newer one may just have taken its place
			return n, err
		}
	}
	return nil, fmt.Errorf("mailbox: %squota: %w", prefix, fs.ErrNotExist)
}

// numbered is the content of a quota object, with the number in its name.
type numbered struct {
	Held
	number uint64
}

func (s *Store) readNote(ctx context.Context, object, head string) (n numbered, err error) {
	b, err := layout.ReadAll(ctx, s.blobs, object, maxQuotaObject)
	if err == nil {
		n.Storage, n.Messages, err = parseQuota(head, b)
	}
	if err == nil {
		n.number, err = strconv.ParseUint(object[len(object)-16:], 10, 64)
	}
	if err != nil {
		return numbered{}, fmt.Errorf("mailbox: %s: %w", object, err)
	}
	return n, nil
}

// dropOlder deletes what an object has taken the place of. What cannot be deleted
// stays and counts for nothing.
func (s *Store) dropOlder(ctx context.Context, prefix, newest string) {
	var old []string
	for info, err := range s.blobs.List(ctx, prefix, "") {
		if err != nil {
			return
		}
		if info.Name < newest {
			old = append(old, info.Name)
		}
	}
	if len(old) > 0 {
		if err := s.blobs.Delete(ctx, old...); err != nil {
			s.logger.Warn("quota objects stay behind", "prefix", prefix, "error", err)
		}
	}
}

// noteUsage tells deliverers, who cannot read the state, how much the account
// holds, when it has limits and holds notably more or less than was said last. It
// costs nothing where no limits are known.
func (a *account) noteUsage(ctx context.Context) {
	n := a.quota.Load()
	if n == nil || n.Quota == (Quota{}) {
		return
	}
	s := a.state()
	u := usage(s)
	if uint64(s.At) <= n.at || n.at > 0 && !n.notable(u) || !a.noting.TryLock() {
		return
	}
	defer a.noting.Unlock()
	object := quotaName(a.prefix+quotaUsage, uint64(s.At))
	err := a.store.blobs.Create(ctx, object, strings.NewReader(quotaText(usageHead, u.Storage, u.Messages)))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		a.store.logger.Warn("usage was not noted", "object", object, "error", err)
		return
	}
	a.store.dropOlder(ctx, a.prefix+quotaUsage, object)
	next := &quotaNote{Quota: n.Quota, number: n.number, noted: u, at: uint64(s.At), read: n.read}
	a.quota.CompareAndSwap(n, next)
}

// notable reports whether a usage is far from the one noted: by a 32nd of a limit,
// or on the other side of it.
func (n *quotaNote) notable(u Held) bool {
	far := func(limit, was, is int64) bool {
		return limit > 0 && (was >= limit) != (is >= limit) || limit > 0 && math.Abs(float64(is-was)) > float64(limit)/32
	}
	return far(n.Storage, n.noted.Storage, u.Storage) || far(n.Messages, n.noted.Messages, u.Messages)
}

// tally is what this process delivered to an account since its usage was noted.
type tally struct {
	Held
	noted uint64 // position of the usage; 0: none was noted
	at    uint64 // position of the last delivery
}

// maxTallies bounds how many accounts with limits a process keeps a tally of, at
// about 80 bytes each.
const maxTallies = 1 << 16

// tallies are those of all accounts with limits that this process delivers to,
// whether or not it remembers their inboxes.
type tallies struct {
	max int

	mu sync.Mutex // protects what follows
	of map[eventlog.ID]tally
}

// since returns what was delivered since the usage of a position.
func (t *tallies) since(id eventlog.ID, noted uint64) Held {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.of[id]; n.noted == noted {
		return n.Held
	}
	return Held{} // the usage that was noted since has it
}

// add adds a delivery. If there are too many tallies it returns one that it took out.
func (t *tallies) add(id eventlog.ID, noted, at uint64, more Held) (evicted eventlog.ID, out tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.of[id]
	if n.noted != noted {
		n = tally{noted: noted}
	}
	t.of[id] = tally{Held: n.plus(more), noted: noted, at: max(n.at, at)}
	if len(t.of) > t.max {
		for evicted, out = range t.of { // in random order
			if evicted != id {
				delete(t.of, evicted)
				return evicted, out
			}
		}
	}
	return eventlog.ID{}, tally{}
}

// tally counts a delivery to an account that has limits. If that makes too many
// tallies, it notes the usage of another account in the store.
func (s *Store) tally(ctx context.Context, in *inbox, at uint64, more Held) {
	if in.quota.Quota == (Quota{}) {
		return
	}
	if id, t := s.tallies.add(in.id, in.quota.at, at, more); t.at > 0 {
		if err := s.noteTally(ctx, id, t); err != nil {
			s.logger.Warn("usage was not noted", "prefix", layout.AccountPrefix(id), "error", err)
		}
	}
}

// noteTally adds a tally to the usage that was noted of an account, unless a process
// with its keys does: it is open here, or its usage was noted since.
func (s *Store) noteTally(ctx context.Context, id eventlog.ID, t tally) error {
	if s.openAccount(id) != nil {
		return nil
	}
	prefix := layout.AccountPrefix(id)
	n, err := s.readQuota(ctx, prefix)
	if err != nil || n.Quota == (Quota{}) || n.at != t.noted || t.at <= n.at {
		return err
	}
	u := n.noted.plus(t.Held)
	object := quotaName(prefix+quotaUsage, t.at)
	err = s.blobs.Create(ctx, object, strings.NewReader(quotaText(usageHead, u.Storage, u.Messages)))
	if err != nil {
		return err
	}
	s.dropOlder(ctx, prefix+quotaUsage, object)
	s.forgetQuota(id)
	return nil
}
