package state

import (
	"slices"
	"sort"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
)

// PageRows is how many messages a page holds at most. A change copies the
// columns it touches of one page: 4 KiB for a flag at this size.
const PageRows = 256

// BodyRef points to a message's bytes: the object's name, and the keys that
// open it without a public-key operation.
type BodyRef struct {
	ID  eventlog.ObjectID
	Key crypto.BodyKey
}

// MetaSource is where the metadata of some messages is kept: a log entry until
// the first snapshot after it, then a segment.
type MetaSource struct {
	Entry   ModSeq
	Segment pack.BlockID // if Entry is 0
}

// Segment holds the metadata of some messages. [Account.Segments] has the place of
// each, so that a segment moves without its pages.
type Segment struct {
	Messages int // whose metadata it holds
	Metadata pack.Ref
}

// Row is one message of a mailbox, taken out of its page.
type Row struct {
	UID    UID
	Flags  FlagBits
	ModSeq ModSeq
	Size   uint32
	Date   int64  // INTERNALDATE, seconds since 1970 UTC
	Saved  uint32 // when it came into this mailbox, seconds since 1970 UTC
	Body   BodyRef
	Meta   MetaSource
	Slot   uint32 // place in the metadata's source
}

// Page holds the messages of a run of UIDs in columns. A page is never changed;
// the next one shares the columns that did not change. At 92 bytes a message it
// is all that stays resident.
type Page struct {
	UIDs        []UID
	Flags       []FlagBits
	ModSeqs     []ModSeq
	Sizes       []uint32
	Dates       []int64
	Saved       []uint32
	Bodies      []BodyRef
	SourceIndex []uint16 // index into sources
	Slots       []uint32
	Sources     []MetaSource
}

// PageRef names a page and says about it what can be asked without its rows.
type PageRef struct {
	Block pack.Ref // of the page, if it is in the store
	Page  *Page    // set as long as it is not

	First, Last     UID
	Count           int
	Unseen, Deleted int
	Size            uint64 // bytes of all messages
	MaxModSeq       ModSeq
}

// ID returns the identity of a page in the store, wherever it lies.
func (r *PageRef) ID() pack.BlockID { return r.Block.ID() }

// PageSource yields a page that was made ready before.
type PageSource func(*PageRef) *Page

func NewPage(capacity int) *Page {
	return &Page{
		UIDs: make([]UID, 0, capacity), Flags: make([]FlagBits, 0, capacity), ModSeqs: make([]ModSeq, 0, capacity),
		Sizes: make([]uint32, 0, capacity), Dates: make([]int64, 0, capacity), Saved: make([]uint32, 0, capacity),
		Bodies: make([]BodyRef, 0, capacity), SourceIndex: make([]uint16, 0, capacity), Slots: make([]uint32, 0, capacity),
	}
}

func (p *Page) Len() int { return len(p.UIDs) }

// Find returns the index of a UID.
func (p *Page) Find(u UID) (int, bool) {
	i := sort.Search(len(p.UIDs), func(i int) bool { return p.UIDs[i] >= u })
	return i, i < len(p.UIDs) && p.UIDs[i] == u
}

func (p *Page) Row(i int) Row {
	return Row{
		UID: p.UIDs[i], Flags: p.Flags[i], ModSeq: p.ModSeqs[i], Size: p.Sizes[i], Date: p.Dates[i],
		Saved: p.Saved[i], Body: p.Bodies[i], Meta: p.Sources[p.SourceIndex[i]], Slot: p.Slots[i],
	}
}

// Append appends a row to a page that is still being built.
func (p *Page) Append(r Row) {
	src := -1
	// Neighbours mostly share their source.
	for i := len(p.Sources) - 1; i >= 0; i-- {
		if p.Sources[i] == r.Meta {
			src = i
			break
		}
	}
	if src < 0 {
		src = len(p.Sources)
		p.Sources = append(p.Sources, r.Meta)
	}
	p.UIDs = append(p.UIDs, r.UID)
	p.Flags = append(p.Flags, r.Flags)
	p.ModSeqs = append(p.ModSeqs, r.ModSeq)
	p.Sizes = append(p.Sizes, r.Size)
	p.Dates = append(p.Dates, r.Date)
	p.Saved = append(p.Saved, r.Saved)
	p.Bodies = append(p.Bodies, r.Body)
	p.SourceIndex = append(p.SourceIndex, uint16(src))
	p.Slots = append(p.Slots, r.Slot)
}

// extended returns a page of p's rows and those given.
func (p *Page) extended(rows []Row) *Page {
	n := NewPage(p.Len() + len(rows))
	n.UIDs = append(n.UIDs, p.UIDs...)
	n.Flags = append(n.Flags, p.Flags...)
	n.ModSeqs = append(n.ModSeqs, p.ModSeqs...)
	n.Sizes = append(n.Sizes, p.Sizes...)
	n.Dates = append(n.Dates, p.Dates...)
	n.Saved = append(n.Saved, p.Saved...)
	n.Bodies = append(n.Bodies, p.Bodies...)
	n.SourceIndex = append(n.SourceIndex, p.SourceIndex...)
	n.Slots = append(n.Slots, p.Slots...)
	n.Sources = slices.Clone(p.Sources)
	for _, r := range rows {
		n.Append(r)
	}
	return n
}

// without returns a page of the rows that are not in gone, nil if none is left.
func (p *Page) without(gone UIDSet) *Page {
	n := NewPage(p.Len())
	for i, u := range p.UIDs {
		if !gone.Has(u) {
			n.Append(p.Row(i))
		}
	}
	if n.Len() == 0 {
		return nil
	}
	return n
}

// flagged returns a page in which change decided the flags of the rows in uids.
// All other columns are shared. It also returns how many rows that were.
func (p *Page) flagged(uids UIDSet, at ModSeq, change func(FlagBits) FlagBits) (*Page, int) {
	found := 0
	n := *p
	n.Flags = slices.Clone(p.Flags)
	n.ModSeqs = slices.Clone(p.ModSeqs)
	for i, u := range p.UIDs {
		if uids.Has(u) {
			n.Flags[i] = change(p.Flags[i])
			n.ModSeqs[i] = at
			found++
		}
	}
	return &n, found
}

// Ref returns the reference of a page that is not in the store.
func (p *Page) Ref() *PageRef {
	r := &PageRef{Page: p, First: p.UIDs[0], Last: p.UIDs[len(p.UIDs)-1], Count: p.Len()}
	for i, f := range p.Flags {
		if f&Seen == 0 {
			r.Unseen++
		}
		if f&Deleted != 0 {
			r.Deleted++
		}
		r.Size += uint64(p.Sizes[i])
		r.MaxModSeq = max(r.MaxModSeq, p.ModSeqs[i])
	}
	return r
}

// Dense reports whether the page's UIDs have no gaps.
func (r *PageRef) Dense() bool { return int64(r.Last)-int64(r.First) == int64(r.Count)-1 }
