package mailbox

import (
	"slices"
	"sort"
)

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

// Flags returns all flags that the mailbox defines, system flags first.
func (m *Mailbox) Flags() []string {
	return append(slices.Clone(systemFlags[:]), m.keywords...)
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
	for i := range rows {
		rows[i].uid = m.uidNext + UID(i)
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

// emptied returns the mailbox as sessions see it once it was deleted.
func (m *Mailbox) emptied() *Mailbox {
	c := *m
	c.pages, c.exists, c.unseen, c.deleted, c.size = nil, 0, 0, 0, 0
	return &c
}
