package translate

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/mailbox"
)

// A Listing is the work on one LIST or LSUB: which names there are, and what is above
// and below them.
type Listing struct {
	kind ListKind
	o    *imap.ListOptions

	names   []name // all that may be listed, sorted
	infos   map[string]*mailbox.MailboxInfo
	parents map[string]bool // has existing mailboxes below it
	// hidden has names with a subscribed one below them that no pattern matches. Only
	// LSUB and RECURSIVEMATCH look at it.
	hidden map[string]bool
}

// name is a name that may be listed.
type name struct {
	text    string
	matches bool // a pattern does
	open    bool // a pattern that ends with "%" does
}

// A ListKind is the command that a listing answers.
type ListKind uint8

const (
	ListBasic    ListKind = iota // LIST of RFC 3501
	ListExtended                 // LIST with what RFC 5258 brought
	LSUB                         // RFC 3501 section 6.3.9
)

// NewListing returns the listing of an account's mailboxes for a reference and patterns.
// It fails with the context's error, or with an answer that has the code LIMIT if the
// patterns are too many or too long.
func NewListing(ctx context.Context, kind ListKind, infos []mailbox.MailboxInfo, ref string, patterns []string, o *imap.ListOptions) (*Listing, error) {
	l := &Listing{
		kind: kind, o: o,
		infos:   make(map[string]*mailbox.MailboxInfo, len(infos)),
		parents: make(map[string]bool), hidden: make(map[string]bool),
	}
	m, err := compile(ref, patterns)
	if err != nil {
		return nil, err
	}
	for i := range infos {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.add(&infos[i], m)
	}
	// A level that has mailboxes below it is listed though it is none itself.
	for _, above := range []map[string]bool{l.parents, l.hidden} {
		for text := range above {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if l.infos[text] == nil {
				l.addName(text, m)
			}
		}
	}
	slices.SortFunc(l.names, func(a, b name) int { return strings.Compare(a.text, b.text) })
	l.names = slices.Compact(l.names)
	return l, nil
}

// add adds a mailbox, and says of the levels above it that they have it below them.
func (l *Listing) add(info *mailbox.MailboxInfo, m *patterns) {
	l.infos[info.Name] = info
	matches := l.addName(info.Name, m)
	hidden := !matches && info.Subscribed && l.special(info) && (l.kind == LSUB || l.o.SelectRecursiveMatch)
	for at, c := range info.Name {
		if c != mailbox.Separator {
			continue
		}
		if info.Exists {
			l.parents[info.Name[:at]] = true
		}
		if hidden {
			l.hidden[info.Name[:at]] = true
		}
	}
}

func (l *Listing) addName(text string, m *patterns) (matches bool) {
	n := name{text: text}
	n.matches, n.open = m.match(text)
	l.names = append(l.names, n)
	return n.matches
}

// All returns what is listed, in order of the names, and of each the mailbox that it
// belongs to, or nil if there is none.
func (l *Listing) All() iter.Seq2[*imap.ListData, *mailbox.MailboxInfo] {
	return func(yield func(*imap.ListData, *mailbox.MailboxInfo) bool) {
		for _, n := range l.names {
			info := l.infos[n.text]
			if !n.matches || !l.selects(n, info) {
				continue
			}
			data := l.data(n.text, info)
			if info != nil && !info.Exists {
				info = nil
			}
			if !yield(data, info) {
				return
			}
		}
	}
}

// data returns what is listed of a name.
func (l *Listing) data(name string, info *mailbox.MailboxInfo) *imap.ListData {
	exists := info != nil && info.Exists
	subscribed := info != nil && info.Subscribed
	data := &imap.ListData{Delim: mailbox.Separator, Mailbox: name}
	switch {
	case !exists && l.kind == ListExtended: // which implies \Noselect: RFC 5258 section 3
		data.Attrs = append(data.Attrs, imap.MailboxAttrNonExistent)
	case !exists || l.kind == LSUB && !subscribed:
		data.Attrs = append(data.Attrs, imap.MailboxAttrNoSelect)
	}
	if l.parents[name] {
		data.Attrs = append(data.Attrs, imap.MailboxAttrHasChildren)
	} else {
		data.Attrs = append(data.Attrs, imap.MailboxAttrHasNoChildren)
	}
	if subscribed && l.kind != LSUB && (l.o.SelectSubscribed || l.o.ReturnSubscribed) {
		data.Attrs = append(data.Attrs, imap.MailboxAttrSubscribed)
	}
	if exists {
		for _, use := range info.SpecialUse {
			data.Attrs = append(data.Attrs, imap.MailboxAttr(use))
		}
	}
	if l.o.SelectRecursiveMatch && l.hidden[name] {
		data.ChildInfo = &imap.ListDataChildInfo{Subscribed: true}
	}
	return data
}

// selects reports whether a name is one of those that the client wants to see,
// whatever the patterns.
func (l *Listing) selects(n name, info *mailbox.MailboxInfo) bool {
	exists := info != nil && info.Exists
	if !l.special(info) && !l.o.SelectRecursiveMatch {
		return false
	}
	if !l.o.SelectSubscribed {
		return exists || l.parents[n.text]
	}
	if info != nil && info.Subscribed && l.special(info) {
		return true
	}
	switch {
	case l.o.SelectRecursiveMatch: // RFC 5258 section 3.1
		return l.hidden[n.text]
	case l.kind == LSUB: // RFC 3501 section 6.3.9
		return l.hidden[n.text] && n.open
	}
	return false
}

// special reports whether a mailbox has a special use, if only such are wanted.
func (l *Listing) special(info *mailbox.MailboxInfo) bool {
	return !l.o.SelectSpecialUse || info != nil && info.Exists && len(info.SpecialUse) > 0
}
