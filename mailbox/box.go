package mailbox

import (
	"slices"
	"sort"
)

// maxVanished bounds how many runs of expunged UIDs a mailbox remembers.
const maxVanished = 1024

// vanished is a run of UIDs that were expunged by one log entry.
type vanished struct {
	at          ModSeq
	first, last UID
}

// Mailbox is one folder at one position of the log: its messages, flags and
// counts. It never changes: applying an event makes a new Mailbox that shares
// every page the event did not touch, so a session may keep one as long as it
// likes and hand it from goroutine to goroutine.
type Mailbox struct {
	id          MailboxID
	name        string
	uidValidity uint32
	uidNext     UID
	recentFrom  UID // messages from here on have not been shown to any session
	modseq      ModSeq
	created     ModSeq
	special     []string
	keywords    []string
	pages       []*pageRef
	vanished    []vanished // ascending by entry; the newest maxVanished runs
	forgotten   ModSeq     // expunges up to here may be missing from vanished

	exists, unseen, deleted int
	size                    uint64
}

// ID returns the mailbox's lasting identity.
func (m *Mailbox) ID() MailboxID { return m.id }

// Name returns the mailbox's name, UTF-8, levels separated by [Separator].
func (m *Mailbox) Name() string { return m.name }

// UIDValidity returns the value of RFC 9051 section 2.3.1.1, which never
// changes in the mailbox's life.
func (m *Mailbox) UIDValidity() uint32 { return m.uidValidity }

// UIDNext returns the UID that the next message will get.
func (m *Mailbox) UIDNext() UID { return m.uidNext }

// Len returns the number of messages.
func (m *Mailbox) Len() int { return m.exists }

// HighestModSeq returns the position of the entry that last changed a message
// of the mailbox or expunged one (RFC 7162 section 3.1.2.1).
func (m *Mailbox) HighestModSeq() ModSeq { return m.modseq }

// SpecialUse returns the mailbox's special-use attributes (RFC 6154).
func (m *Mailbox) SpecialUse() []string { return slices.Clone(m.special) }

// Flags returns all flags that the mailbox defines, system flags first.
func (m *Mailbox) Flags() []string {
	return append(slices.Clone(systemFlags[:]), m.keywords...)
}

// Status returns the mailbox's counts.
func (m *Mailbox) Status() Status {
	return Status{
		ID: m.id, Messages: m.exists, Unseen: m.unseen, Deleted: m.deleted, Size: int64(m.size),
		UIDNext: m.uidNext, UIDValidity: m.uidValidity, HighestModSeq: m.modseq,
	}
}

// edit returns a copy whose list of pages may be changed.
func (m *Mailbox) edit(at ModSeq) *Mailbox {
	c := *m
	c.pages = slices.Clone(m.pages)
	c.modseq = at
	return &c
}

// swap puts a page in the place of page i, or takes that out if ref is nil, and
// keeps the counts.
func (m *Mailbox) swap(i int, ref *pageRef) {
	m.uncount(m.pages[i])
	if ref == nil {
		m.pages[i] = nil
		return
	}
	m.pages[i] = ref
	m.count(ref)
}

func (m *Mailbox) count(r *pageRef) {
	m.exists += r.count
	m.unseen += r.unseen
	m.deleted += r.deleted
	m.size += r.size
}

func (m *Mailbox) uncount(r *pageRef) {
	m.exists -= r.count
	m.unseen -= r.unseen
	m.deleted -= r.deleted
	m.size -= r.size
}

// touched returns the indexes of the pages that may hold UIDs of the set.
func (m *Mailbox) touched(uids uidSet) []int {
	var out []int
	for i, r := range m.pages {
		if uids.touches(r.first, r.last) {
			out = append(out, i)
		}
	}
	return out
}

// pageOf returns the index of the first page that ends at or after a UID.
func (m *Mailbox) pageOf(u UID) int {
	return sort.Search(len(m.pages), func(i int) bool { return m.pages[i].last >= u })
}

// adding returns the mailbox with rows at its end. Their UIDs, MODSEQs and the
// mailbox's UIDNEXT are given here: rows come in without.
func (m *Mailbox) adding(at ModSeq, rows []row) *Mailbox {
	next := m.uidNext
	for i := range rows {
		rows[i].uid = next
		next++
	}
	return m.placing(at, rows)
}

// placing is adding for rows that have their UIDs, in ascending order from
// UIDNEXT on.
func (m *Mailbox) placing(at ModSeq, rows []row) *Mailbox {
	c := m.edit(at)
	for i := range rows {
		rows[i].modseq = at
		c.uidNext = rows[i].uid + 1
	}
	// A last page that lies in the store is left alone, so that adding never
	// reads; the next snapshot joins small neighbours.
	if n := len(c.pages); n > 0 && c.pages[n-1].page != nil && c.pages[n-1].count < pageRows {
		k := min(len(rows), pageRows-c.pages[n-1].count)
		c.swap(n-1, c.pages[n-1].page.extended(rows[:k]).ref())
		rows = rows[k:]
	}
	for len(rows) > 0 {
		k := min(len(rows), pageRows)
		ref := newPage(k).extended(rows[:k]).ref()
		c.pages = append(c.pages, ref)
		c.count(ref)
		rows = rows[k:]
	}
	return c
}

// flagging returns the mailbox with the flags of some messages changed, and
// whether they were all there.
func (m *Mailbox) flagging(at ModSeq, uids uidSet, change func(flagBits) flagBits, get pageSource) (*Mailbox, bool) {
	c := m.edit(at)
	found := int64(0)
	for _, i := range m.touched(uids) {
		p, n := get(m.pages[i]).flagged(uids, at, change)
		found += int64(n)
		c.swap(i, p.ref())
	}
	return c, found == uids.count()
}

// expunging returns the mailbox without some messages, and whether they were all
// there.
func (m *Mailbox) expunging(at ModSeq, uids uidSet, get pageSource) (*Mailbox, bool) {
	c := m.edit(at)
	for _, i := range m.touched(uids) {
		p := get(m.pages[i]).without(uids)
		switch {
		case p == nil:
			c.swap(i, nil)
		case p.len() != m.pages[i].count:
			c.swap(i, p.ref())
		}
	}
	c.pages = slices.DeleteFunc(c.pages, func(r *pageRef) bool { return r == nil })
	c.remember(at, uids)
	return c, int64(m.exists-c.exists) == uids.count()
}

// remember notes UIDs that vanished, for clients that come back (RFC 7162
// section 3.2.6), and forgets the oldest where there are too many.
func (m *Mailbox) remember(at ModSeq, uids uidSet) {
	v := make([]vanished, 0, len(m.vanished)+len(uids))
	v = append(v, m.vanished...)
	for _, r := range uids {
		v = append(v, vanished{at, r.first, r.last})
	}
	if over := len(v) - maxVanished; over > 0 {
		m.forgotten = v[over-1].at
		v = slices.Clone(v[over:])
		// An entry is remembered whole or not at all.
		v = slices.DeleteFunc(v, func(x vanished) bool { return x.at <= m.forgotten })
	}
	m.vanished = v
}
