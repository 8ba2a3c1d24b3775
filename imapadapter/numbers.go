package imapadapter

import (
	"slices"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/mailbox"
)

// seqNum returns the sequence number of a message in a view.
func seqNum(index int) uint32 { return uint32(index) + 1 }

func uid(u mailbox.UID) imap.UID { return imap.UID(u) }

// errDeleted is the answer to commands for messages of a mailbox of which the
// client was told that all are gone, because somebody deleted it.
var errDeleted = no(imap.ResponseCodeNonExistent, "The selected mailbox was deleted")

// selected is set for a command of its own.
func (s *session) selected(numSet imap.NumSet) (mailbox.Set, error) {
	if s.deleted {
		return mailbox.Set{}, errDeleted
	}
	return s.set(numSet)
}

// set returns the messages that a client names. A sequence number beyond the
// last message is the client's mistake (RFC 9051 section 9, seq-number); UIDs
// that are not there are not. Ranges with "*" reach to the last message from
// wherever, also in an empty mailbox.
func (s *session) set(numSet imap.NumSet) (mailbox.Set, error) {
	if imap.IsSearchRes(numSet) {
		return mailbox.Set{Ranges: s.saved, UID: true}, nil
	}
	var set mailbox.Set
	switch nums := numSet.(type) {
	case imap.SeqSet:
		last := uint32(s.view.Len())
		set.Ranges = make([]mailbox.Range, 0, len(nums))
		for _, r := range nums {
			if r.Start != mailbox.Star && r.Stop != mailbox.Star && max(r.Start, r.Stop) > last {
				return set, bad("No message has this sequence number")
			}
			set.Ranges = append(set.Ranges, mailbox.Range{First: r.Start, Last: r.Stop})
		}
	case imap.UIDSet:
		set.UID = true
		set.Ranges = make([]mailbox.Range, 0, len(nums))
		for _, r := range nums {
			set.Ranges = append(set.Ranges, mailbox.Range{First: uint32(r.Start), Last: uint32(r.Stop)})
		}
	}
	return set, nil
}

// A uidRun gathers UIDs of messages in ascending order. Between neighbours of a
// view there is no message and never will be one, so that a run of neighbours is
// one range whatever UIDs were expunged in it.
type uidRun struct {
	ranges []mailbox.Range
	next   int // Index after the last message's
}

func (r *uidRun) add(index int, u mailbox.UID) {
	if n := len(r.ranges); n > 0 && index == r.next {
		r.ranges[n-1].Last = uint32(u)
	} else {
		r.ranges = append(r.ranges, mailbox.Range{First: uint32(u), Last: uint32(u)})
	}
	r.next = index + 1
}

func (r *uidRun) has(u mailbox.UID) bool {
	_, ok := slices.BinarySearchFunc(r.ranges, uint32(u), func(x mailbox.Range, u uint32) int {
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

func (r *uidRun) set() mailbox.Set { return mailbox.Set{Ranges: r.ranges, UID: true} }

// addUID and addSeq add a number above all that are in the set, and no other.
func addUID(set imap.UIDSet, u imap.UID) imap.UIDSet {
	if n := len(set); n > 0 && set[n-1].Stop+1 == u {
		set[n-1].Stop = u
		return set
	}
	return append(set, imap.UIDRange{Start: u, Stop: u})
}

func addSeq(set imap.SeqSet, n uint32) imap.SeqSet {
	if k := len(set); k > 0 && set[k-1].Stop+1 == n {
		set[k-1].Stop = n
		return set
	}
	return append(set, imap.SeqRange{Start: n, Stop: n})
}
