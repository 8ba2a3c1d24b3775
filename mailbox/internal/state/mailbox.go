package state

import (
	"slices"
	"sort"
)

// Mailbox is one folder at one position of the log: its messages, flags and
// counts. It never changes: applying an event makes a new Mailbox that shares
// every page the event did not touch, so a session may keep one as long as it
// likes and hand it from goroutine to goroutine.
type Mailbox struct {
	ID          MailboxID
	Name        string
	UIDValidity uint32
	UIDNext     UID
	RecentFrom  UID        // messages from here on have not been shown to any session
	ModSeq      ModSeq     // of the last entry that changed or expunged a message
	Created     ModSeq     // of the entry that made it
	SpecialUse  []string   // RFC 6154
	Keywords    []string   // bit firstKeywordBit+i of a message's flags is keyword i
	Pages       []*PageRef // ascending by UID, none empty
	Vanished    []Vanished // ascending by entry; the newest MaxVanished runs
	Forgotten   ModSeq     // expunges up to here may be missing from Vanished

	// Sums over Pages.
	Messages, Unseen, Deleted int
	Size                      uint64 // bytes
}

// Flags returns all flags that the mailbox defines, system flags first.
func (m *Mailbox) Flags() []string {
	return append(slices.Clone(systemFlags[:]), m.Keywords...)
}

// edit returns a copy whose list of pages may be changed.
func (m *Mailbox) edit(at ModSeq) *Mailbox {
	c := *m
	c.Pages = slices.Clone(m.Pages)
	c.ModSeq = at
	return &c
}

// swap puts a page in the place of page i, or takes that out if ref is nil, and
// keeps the counts.
func (m *Mailbox) swap(i int, ref *PageRef) {
	m.uncount(m.Pages[i])
	if ref == nil {
		m.Pages[i] = nil
		return
	}
	m.Pages[i] = ref
	m.count(ref)
}

func (m *Mailbox) count(r *PageRef) {
	m.Messages += r.Count
	m.Unseen += r.Unseen
	m.Deleted += r.Deleted
	m.Size += r.Size
}

func (m *Mailbox) uncount(r *PageRef) {
	m.Messages -= r.Count
	m.Unseen -= r.Unseen
	m.Deleted -= r.Deleted
	m.Size -= r.Size
}

// PagesOf returns the indexes of the pages that may hold UIDs of the set.
func (m *Mailbox) PagesOf(uids UIDSet) []int {
	var out []int
	for i, r := range m.Pages {
		if uids.Touches(r.First, r.Last) {
			out = append(out, i)
		}
	}
	return out
}

// PageOf returns the index of the first page that ends at or after a UID.
func (m *Mailbox) PageOf(u UID) int {
	return sort.Search(len(m.Pages), func(i int) bool { return m.Pages[i].Last >= u })
}

// adding returns the mailbox with rows at its end. Their UIDs, MODSEQs and the
// mailbox's UIDNEXT are given here: rows come in without.
func (m *Mailbox) adding(at ModSeq, rows []Row) *Mailbox {
	for i := range rows {
		rows[i].UID = m.UIDNext + UID(i)
	}
	return m.placing(at, rows)
}

// placing is adding for rows that have their UIDs, in ascending order from
// UIDNEXT on. One that has a MODSEQ keeps it.
func (m *Mailbox) placing(at ModSeq, rows []Row) *Mailbox {
	c := m.edit(at)
	for i := range rows {
		if rows[i].ModSeq == 0 {
			rows[i].ModSeq = at
		}
		c.UIDNext = rows[i].UID + 1
	}
	// A last page that lies in the store is left alone, so that adding never
	// reads; the next snapshot joins small neighbours.
	if n := len(c.Pages); n > 0 && c.Pages[n-1].Page != nil && c.Pages[n-1].Count < PageRows {
		k := min(len(rows), PageRows-c.Pages[n-1].Count)
		c.swap(n-1, c.Pages[n-1].Page.extended(rows[:k]).Ref())
		rows = rows[k:]
	}
	for len(rows) > 0 {
		k := min(len(rows), PageRows)
		ref := NewPage(k).extended(rows[:k]).Ref()
		c.Pages = append(c.Pages, ref)
		c.count(ref)
		rows = rows[k:]
	}
	return c
}

// flagging returns the mailbox with the flags of some messages changed, and
// whether they were all there.
func (m *Mailbox) flagging(at ModSeq, uids UIDSet, change func(FlagBits) FlagBits, get PageSource) (*Mailbox, bool) {
	c := m.edit(at)
	found := int64(0)
	for _, i := range m.PagesOf(uids) {
		p, n := get(m.Pages[i]).flagged(uids, at, change)
		found += int64(n)
		c.swap(i, p.Ref())
	}
	return c, found == uids.Count()
}

// Expunge returns the mailbox without messages, which must all be there: else it
// is [ErrInvalidEvent].
func (m *Mailbox) Expunge(at ModSeq, uids UIDSet, get PageSource) (*Mailbox, error) {
	c := m.edit(at)
	for _, i := range m.PagesOf(uids) {
		p := get(m.Pages[i]).without(uids)
		switch {
		case p == nil:
			c.swap(i, nil)
		case p.Len() != m.Pages[i].Count:
			c.swap(i, p.Ref())
		}
	}
	if int64(m.Messages-c.Messages) != uids.Count() {
		return nil, ErrInvalidEvent
	}
	c.Pages = slices.DeleteFunc(c.Pages, func(r *PageRef) bool { return r == nil })
	c.remember(at, uids)
	return c, nil
}

// Emptied returns the mailbox as sessions see it once it was deleted.
func (m *Mailbox) Emptied() *Mailbox {
	c := *m
	c.Pages, c.Messages, c.Unseen, c.Deleted, c.Size = nil, 0, 0, 0, 0
	return &c
}
