package translate

import (
	"iter"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/mailbox"
)

// A Listing is the work on one LIST or LSUB: which names there are, and what is above
// and below them.
type Listing struct {
	o        *imap.ListOptions
	lsub     bool
	patterns []string

	names      []string // all that may be listed, sorted
	infos      map[string]*mailbox.MailboxInfo
	parents    map[string]bool // has existing mailboxes below it
	subParents map[string]bool // has subscribed names below it
}

// NewListing returns the listing of an account's mailboxes for a reference and patterns.
// With lsub it is that of LSUB: a name that is not subscribed is listed for a pattern
// that ends in % if a name below it is (RFC 3501 section 6.3.9).
func NewListing(infos []mailbox.MailboxInfo, ref string, patterns []string, o *imap.ListOptions, lsub bool) *Listing {
	l := &Listing{
		o: o, lsub: lsub,
		infos:   make(map[string]*mailbox.MailboxInfo, len(infos)),
		parents: make(map[string]bool), subParents: make(map[string]bool),
	}
	for _, p := range patterns {
		l.patterns = append(l.patterns, ref+p)
	}
	for i := range infos {
		info := &infos[i]
		l.infos[info.Name] = info
		l.names = append(l.names, info.Name)
		for at, c := range info.Name {
			if c != mailbox.Separator {
				continue
			}
			if info.Exists {
				l.parents[info.Name[:at]] = true
			}
			if info.Subscribed {
				l.subParents[info.Name[:at]] = true
			}
		}
	}
	// A level that has mailboxes below it is listed though it is none itself.
	for _, above := range []map[string]bool{l.parents, l.subParents} {
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
	if !exists || l.lsub && !subscribed {
		// For RFC 5258, and for clients that do not know it.
		data.Attrs = append(data.Attrs, imap.MailboxAttrNoSelect)
	}
	if !exists {
		data.Attrs = append(data.Attrs, imap.MailboxAttrNonExistent)
	}
	if l.parents[name] {
		data.Attrs = append(data.Attrs, imap.MailboxAttrHasChildren)
	} else {
		data.Attrs = append(data.Attrs, imap.MailboxAttrHasNoChildren)
	}
	if subscribed && !l.lsub && (l.o.SelectSubscribed || l.o.ReturnSubscribed) {
		data.Attrs = append(data.Attrs, imap.MailboxAttrSubscribed)
	}
	if exists {
		for _, use := range info.SpecialUse {
			data.Attrs = append(data.Attrs, imap.MailboxAttr(use))
		}
	}
	if l.o.SelectRecursiveMatch && l.subParents[name] {
		data.ChildInfo = &imap.ListDataChildInfo{Subscribed: true}
	}
	return data, true
}

// selects reports whether a name is one of those that the client wants to see,
// whatever the patterns.
func (l *Listing) selects(name string, info *mailbox.MailboxInfo) bool {
	exists := info != nil && info.Exists
	if l.o.SelectSpecialUse && (!exists || len(info.SpecialUse) == 0) {
		return false
	}
	if !l.o.SelectSubscribed {
		return exists || l.parents[name]
	}
	if info != nil && info.Subscribed {
		return true
	}
	switch {
	case l.o.SelectRecursiveMatch: // RFC 5258 section 3.1
		return l.subParents[name]
	case l.lsub: // RFC 3501 section 6.3.9
		return l.subParents[name] && slices.ContainsFunc(l.patterns, func(p string) bool {
			return strings.HasSuffix(p, "%") && matchName(p, name)
		})
	}
	return false
}

func (l *Listing) matches(name string) bool {
	return slices.ContainsFunc(l.patterns, func(p string) bool { return matchName(p, name) })
}
