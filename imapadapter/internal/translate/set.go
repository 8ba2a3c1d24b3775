package translate

import (
	"context"
	"slices"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// Set returns the messages that a client names. A sequence number beyond the last of
// the view is the client's mistake (RFC 9051 section 9, seq-number); UIDs that are not
// there are not. Ranges with "*" reach to the last message from wherever, also in an
// empty mailbox. saved is what "$" stands for (RFC 5182).
func Set(ctx context.Context, view *mailbox.View, set wire.Set, uid bool, saved []mailbox.Range) (mailbox.Set, error) {
	if set.Saved && len(set.Ranges) == 0 {
		return mailbox.Set{Ranges: saved, UID: true}, nil
	}
	out := mailbox.Set{UID: uid, Ranges: make([]mailbox.Range, 0, len(set.Ranges))}
	last := uint32(view.Len())
	for _, r := range set.Ranges {
		if !uid && r.First != mailbox.Star && r.Last != mailbox.Star && max(r.First, r.Last) > last {
			return out, Bad("No message has this sequence number")
		}
		out.Ranges = append(out.Ranges, mailbox.Range(r))
	}
	if !set.Saved {
		return out, nil
	}
	if !uid { // what was saved are UIDs
		var named UIDRun
		for f, err := range view.Search(ctx, &mailbox.Query{Op: mailbox.OpSet, Set: out}) {
			if err != nil {
				return out, err
			}
			named.Add(f.Index, f.UID)
		}
		out = named.Set()
	}
	out.Ranges = append(out.Ranges, saved...)
	return out, nil
}

// A UIDRun collects UIDs of messages in ascending order. Between neighbours of a view
// there is no message and never will be one, so a run of neighbours is one range
// whatever UIDs were expunged in it.
type UIDRun struct {
	Ranges []mailbox.Range
	next   int // Index after the last message's
}

// Add adds a message behind all that were added.
func (r *UIDRun) Add(index int, u mailbox.UID) {
	if n := len(r.Ranges); n > 0 && index == r.next {
		r.Ranges[n-1].Last = uint32(u)
	} else {
		r.Ranges = append(r.Ranges, mailbox.Range{First: uint32(u), Last: uint32(u)})
	}
	r.next = index + 1
}

// Has reports whether a message was added.
func (r *UIDRun) Has(u mailbox.UID) bool {
	_, ok := slices.BinarySearchFunc(r.Ranges, uint32(u), func(x mailbox.Range, u uint32) int {
		switch {
		case x.Last < u:
			return -1
		case x.First > u:
			return 1
		}
		return 0
	})
	return ok
}

// Set returns the messages as a set.
func (r *UIDRun) Set() mailbox.Set { return mailbox.Set{Ranges: r.Ranges, UID: true} }
