package translate

import (
	"iter"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"

	"github.com/letterlock/letterlock/mailbox"
)

// A Listing is the work on one LIST or LSUB: which names there are, and what is above
// and below them.
type Listing struct {
	kind     ListKind
	o        *imap.ListOptions
	patterns []string

	names   []string // all that may be listed, sorted
	infos   map[string]*mailbox.MailboxInfo
	parents map[string]bool // has existing mailboxes below it
	// hidden has names with a subscribed one below them that no pattern matches.
	hidden map[string]bool
}

// A ListKind is the command that a listing answers.
type ListKind uint8

const (
	ListBasic    ListKind = iota // LIST of RFC 3501
	ListExtended                 // LIST with what RFC 5258 brought
	LSUB                         // RFC 3501 section 6.3.9
)

// NewListing returns the listing of an account's mailboxes for a reference and patterns.
func NewListing(kind ListKind, infos []mailbox.MailboxInfo, ref string, patterns []string, o *imap.ListOptions) *Listing {
	l := &Listing{
		kind: kind, o: o,
		infos:   make(map[string]*mailbox.MailboxInfo, len(infos)),
		parents: make(map[string]bool), hidden: make(map[string]bool),
	}
	for _, p := range patterns {
		l.patterns = append(l.patterns, norm.NFC.String(ref+p)) // as names are stored
	}
	for i := range infos {
		info := &infos[i]
		l.infos[info.Name] = info
		l.names = append(l.names, info.Name)
		hidden := info.Subscribed && l.special(info) && !l.matches(info.Name)
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
	// A level that has mailboxes below it is listed though it is none itself.
	for _, above := range []map[string]bool{l.parents, l.hidden} {
		for name := range above {
			if l.infos[name] == nil {
				l.names = append(l.names, name)
			}
		}
	}
	slices.Sort(l.names)
	l.names = slices.Compact(l.names)
	return l
}

// All returns what is listed, in order of the names, and of each the mailbox that it
// belongs to, or nil if there is none.
func (l *Listing) All() iter.Seq2[*imap.ListData, *mailbox.MailboxInfo] {
	return func(yield func(*imap.ListData, *mailbox.MailboxInfo) bool) {
		for _, name := range l.names {
			data, ok := l.data(name)
			if !ok {
				continue
			}
			info := l.infos[name]
			if info != nil && !info.Exists {
				info = nil
			}
			if !yield(data, info) {
				return
			}
		}
	}
}

// data returns what is listed of a name, or false if nothing is.
func (l *Listing) data(name string) (*imap.ListData, bool) {
	info := l.infos[name]
	exists := info != nil && info.Exists
	subscribed := info != nil && info.Subscribed
	if !l.selects(name, info) || !l.matches(name) {
		return nil, false
	}
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
	return data, true
}

// selects reports whether a name is one of those that the client wants to see,
// whatever the patterns.
func (l *Listing) selects(name string, info *mailbox.MailboxInfo) bool {
	exists := info != nil && info.Exists
	if !l.special(info) && !l.o.SelectRecursiveMatch {
		return false
	}
	if !l.o.SelectSubscribed {
		return exists || l.parents[name]
	}
	if info != nil && info.Subscribed && l.special(info) {
		return true
	}
	switch {
	case l.o.SelectRecursiveMatch: // RFC 5258 section 3.1
		return l.hidden[name]
	case l.kind == LSUB: // RFC 3501 section 6.3.9
		return l.hidden[name] && slices.ContainsFunc(l.patterns, func(p string) bool {
			return strings.HasSuffix(p, "%") && matchName(p, name)
		})
	}
	return false
}

// special reports whether a mailbox has a special use, if only such are wanted.
func (l *Listing) special(info *mailbox.MailboxInfo) bool {
	return !l.o.SelectSpecialUse || info != nil && info.Exists && len(info.SpecialUse) > 0
}

func (l *Listing) matches(name string) bool {
	return slices.ContainsFunc(l.patterns, func(p string) bool { return matchName(p, name) })
}
