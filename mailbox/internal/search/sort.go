package search

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/letterlock/letterlock/mailbox/message"
)

// SortKey is a criterion of a [Sorter]. The names are those of RFC 5256 section
// 3 and RFC 5957.
type SortKey uint8

const (
	SortArrival     SortKey = iota + 1 // INTERNALDATE
	SortCc                             // local part of the first address of Cc
	SortDate                           // the Date field, else INTERNALDATE
	SortFrom                           // local part of the first address of From
	SortSize                           // bytes
	SortSubject                        // base subject, see [message.BaseSubject]
	SortTo                             // local part of the first address of To
	SortDisplayFrom                    // what a reader shows of the first address of From
	SortDisplayTo                      // the same of To
	SortMatch                          // what matches SortBy.Query, then what does not
)

// SortBy is a criterion and its direction.
type SortBy struct {
	Key     SortKey
	Reverse bool
	Query   *Query // of SortMatch
}

// maxSortText bounds how much of a text is compared, in bytes: what is held of
// each message while a mailbox is sorted.
const maxSortText = 256

// Sorter puts messages in the order of criteria, the first counting most. It holds a
// few hundred bytes for each message.
type Sorter struct {
	by  []SortBy
	all []sortEntry
}

type sortEntry struct {
	Found
	values []sortValue
}

// NewSorter returns a Sorter. It fails with [ErrBadQuery].
func NewSorter(by []SortBy) (*Sorter, error) {
	by, err := distinct(by)
	return &Sorter{by: by}, err
}

// Add takes a message. The queries of criteria must be among those of its plan.
func (s *Sorter) Add(ctx context.Context, c *Candidate) error {
	values, err := c.sortValues(ctx, s.by)
	if err == nil {
		s.all = append(s.all, sortEntry{c.Found, values})
	}
	return err
}

// Sorted returns the messages in order. Those equal in all criteria are in the order
// in which they were added.
func (s *Sorter) Sorted() []Found {
	slices.SortStableFunc(s.all, func(a, b sortEntry) int {
		for i := range s.by {
			if n := a.values[i].compare(b.values[i]); n != 0 {
				if s.by[i].Reverse {
					return -n
				}
				return n
			}
		}
		return 0
	})
	out := make([]Found, len(s.all))
	for i, e := range s.all {
		out[i] = e.Found
	}
	return out
}

// distinct leaves out criteria that came before: they decide nothing more.
func distinct(by []SortBy) ([]SortBy, error) {
	var out []SortBy
	for _, b := range by {
		switch {
		case b.Key < SortArrival || b.Key > SortMatch:
			return nil, fmt.Errorf("%w: sort key %d is not known", ErrBadQuery, b.Key)
		case b.Key == SortMatch && b.Query == nil:
			return nil, fmt.Errorf("%w: a sort key has no query", ErrBadQuery)
		}
		if !slices.ContainsFunc(out, func(o SortBy) bool { return o.Key == b.Key && o.Query == b.Query }) {
			out = append(out, b)
		}
	}
	return out, nil
}

// sortValue is what a message is compared by.
type sortValue struct {
	number int64
	text   string
}

func (v sortValue) compare(o sortValue) int {
	if n := cmp.Compare(v.number, o.number); n != 0 {
		return n
	}
	return cmp.Compare(v.text, o.text)
}

func (c *Candidate) sortValues(ctx context.Context, by []SortBy) ([]sortValue, error) {
	values := make([]sortValue, len(by))
	var f *sortFields
	for i, b := range by {
		switch b.Key {
		case SortArrival:
			values[i].number = c.Date
			continue
		case SortSize:
			values[i].number = c.Size
			continue
		case SortMatch:
			ok, err := c.matches(ctx, b.Query)
			if err != nil {
				return nil, err
			}
			if !ok {
				values[i].number = 1
			}
			continue
		}
		if f == nil {
			h, _, err := c.Source.Header(ctx)
			if err != nil {
				return nil, err
			}
			f = readSortFields(h)
		}
		switch b.Key {
		case SortDate:
			values[i].number = sentDate(f.date, c.Date)
		case SortSubject:
			base, _ := message.BaseSubject(f.header.Decode(f.subject))
			values[i].text = sortText(base)
		case SortFrom:
			values[i].text = sortText(first(f.from).Mailbox)
		case SortTo:
			values[i].text = sortText(first(f.to).Mailbox)
		case SortCc:
			values[i].text = sortText(first(f.cc).Mailbox)
		case SortDisplayFrom:
			values[i].text = sortText(displayed(f.header, first(f.from)))
		case SortDisplayTo:
			values[i].text = sortText(displayed(f.header, first(f.to)))
		}
	}
	return values, nil
}

// sortFields are the texts of the header fields that sorting asks for.
type sortFields struct {
	header                      message.Header
	date, subject, from, to, cc string
}

// readSortFields reads the kept header, which has these fields also if it is a
// reduced one.
func readSortFields(h message.Header) *sortFields {
	f := h.First("Date", "Subject", "From", "To", "Cc")
	return &sortFields{header: h, date: f[0], subject: f[1], from: f[2], to: f[3], cc: f[4]}
}

// sentDate returns the date in a Date field, or INTERNALDATE if there is none (RFC
// 5256 section 2.2), in seconds since 1970.
func sentDate(field string, internal int64) int64 {
	if t, ok := message.ParseDate(field); ok {
		return t.Unix()
	}
	return internal
}

// maxFirstAddress is how much of an address field is read to find the first.
const maxFirstAddress = 2 << 10

func first(field string) message.Address {
	list := message.ParseAddresses(field[:min(len(field), maxFirstAddress)])
	if len(list) == 0 {
		return message.Address{}
	}
	return list[0]
}

// displayed returns what RFC 5957 section 3 sorts an address by: its display
// name, else the address, or the name of the group that it begins.
func displayed(h message.Header, a message.Address) string {
	switch {
	case a.Name != "":
		return h.Decode(a.Name)
	case a.Host == "":
		return h.Decode(a.Mailbox)
	}
	return a.Mailbox + "@" + a.Host
}

func sortText(s string) string {
	s = message.Collate(s[:min(len(s), maxSortText)])
	// Cut to its own memory: s may be a piece of a header.
	return string([]byte(s[:min(len(s), maxSortText)]))
}
