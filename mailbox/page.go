package mailbox

import (
	"slices"
	"sort"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

// pageRows is how many messages a page holds at most. A change copies the
// columns it touches of one page: 4 KiB for a flag at this size.
const pageRows = 256

// bodyRef points to a message's bytes: the object's name, and the keys that
// open it without a public-key operation.
type bodyRef struct {
	id  eventlog.ObjectID
	key crypto.BodyKey
}

// metaSource is where the metadata of some messages is kept: a log entry until
// the first snapshot after it, then a segment object.
type metaSource struct {
	entry   ModSeq
	segment eventlog.ObjectID // if entry is 0
}

// row is one message of a mailbox, taken out of its page.
type row struct {
	uid    UID
	flags  flagBits
	modseq ModSeq
	size   uint32
	date   int64  // INTERNALDATE, seconds since 1970 UTC
	saved  uint32 // when it came into this mailbox, seconds since 1970 UTC
	body   bodyRef
	meta   metaSource
	slot   uint32 // place in the metadata's source
}

// page holds the messages of a run of UIDs in columns. A page is never changed;
// the next one shares the columns that did not change. At 92 bytes a message it
// is all that stays resident.
type page struct {
	uids    []UID
	flags   []flagBits
	modseqs []ModSeq
	sizes   []uint32
	dates   []int64
	saved   []uint32
	bodies  []bodyRef
	srcs    []uint16 // index into sources
	slots   []uint32
	sources []metaSource
}

// pageRef names a page and says about it what can be asked without its rows.
type pageRef struct {
	id   eventlog.ObjectID // of the object, if the page is in the store
	page *page             // set as long as it is not

	first, last     UID
	count           int
	unseen, deleted int
	size            uint64 // bytes of all messages
	maxModSeq       ModSeq
}

// pageSource yields a page that was made ready before.
type pageSource func(*pageRef) *page

func newPage(capacity int) *page {
	return &page{
		uids: make([]UID, 0, capacity), flags: make([]flagBits, 0, capacity), modseqs: make([]ModSeq, 0, capacity),
		sizes: make([]uint32, 0, capacity), dates: make([]int64, 0, capacity), saved: make([]uint32, 0, capacity),
		bodies: make([]bodyRef, 0, capacity), srcs: make([]uint16, 0, capacity), slots: make([]uint32, 0, capacity),
	}
}

func (p *page) len() int { return len(p.uids) }

// find returns the index of a UID.
func (p *page) find(u UID) (int, bool) {
	i := sort.Search(len(p.uids), func(i int) bool { return p.uids[i] >= u })
	return i, i < len(p.uids) && p.uids[i] == u
}

func (p *page) row(i int) row {
	return row{
		uid: p.uids[i], flags: p.flags[i], modseq: p.modseqs[i], size: p.sizes[i], date: p.dates[i],
		saved: p.saved[i], body: p.bodies[i], meta: p.sources[p.srcs[i]], slot: p.slots[i],
	}
}

// push appends a row to a page that is still being built.
func (p *page) push(r row) {
	src := -1
	// Neighbours mostly share their source.
	for i := len(p.sources) - 1; i >= 0; i-- {
		if p.sources[i] == r.meta {
			src = i
			break
		}
	}
	if src < 0 {
		src = len(p.sources)
		p.sources = append(p.sources, r.meta)
	}
	p.uids = append(p.uids, r.uid)
	p.flags = append(p.flags, r.flags)
	p.modseqs = append(p.modseqs, r.modseq)
	p.sizes = append(p.sizes, r.size)
	p.dates = append(p.dates, r.date)
	p.saved = append(p.saved, r.saved)
	p.bodies = append(p.bodies, r.body)
	p.srcs = append(p.srcs, uint16(src))
	p.slots = append(p.slots, r.slot)
}

// extended returns a page of p's rows and those given.
func (p *page) extended(rows []row) *page {
	n := newPage(p.len() + len(rows))
	n.uids = append(n.uids, p.uids...)
	n.flags = append(n.flags, p.flags...)
	n.modseqs = append(n.modseqs, p.modseqs...)
	n.sizes = append(n.sizes, p.sizes...)
	n.dates = append(n.dates, p.dates...)
	n.saved = append(n.saved, p.saved...)
	n.bodies = append(n.bodies, p.bodies...)
	n.srcs = append(n.srcs, p.srcs...)
	n.slots = append(n.slots, p.slots...)
	n.sources = slices.Clone(p.sources)
	for _, r := range rows {
		n.push(r)
	}
	return n
}

// without returns a page of the rows that are not in gone, nil if none is left.
func (p *page) without(gone uidSet) *page {
	n := newPage(p.len())
	for i, u := range p.uids {
		if !gone.has(u) {
			n.push(p.row(i))
		}
	}
	if n.len() == 0 {
		return nil
	}
	return n
}

// flagged returns a page in which change decided the flags of the rows in uids.
// All other columns are shared. It also returns how many rows that were.
func (p *page) flagged(uids uidSet, at ModSeq, change func(flagBits) flagBits) (*page, int) {
	found := 0
	n := *p
	n.flags = slices.Clone(p.flags)
	n.modseqs = slices.Clone(p.modseqs)
	for i, u := range p.uids {
		if uids.has(u) {
			n.flags[i] = change(p.flags[i])
			n.modseqs[i] = at
			found++
		}
	}
	return &n, found
}

// ref returns the reference of a page that is not in the store.
func (p *page) ref() *pageRef {
	r := &pageRef{page: p, first: p.uids[0], last: p.uids[len(p.uids)-1], count: p.len()}
	for i, f := range p.flags {
		if f&bitSeen == 0 {
			r.unseen++
		}
		if f&bitDeleted != 0 {
			r.deleted++
		}
		r.size += uint64(p.sizes[i])
		r.maxModSeq = max(r.maxModSeq, p.modseqs[i])
	}
	return r
}

// dense reports whether the page's UIDs have no gaps.
func (r *pageRef) dense() bool { return int64(r.last)-int64(r.first) == int64(r.count)-1 }
