package message

import "strings"

// Envelope is what IMAP's ENVELOPE says of a message (RFC 9051 section 7.5.2):
// the text of its header fields, unfolded, with encoded-words as they are.
type Envelope struct {
	Date, Subject                      string
	From, Sender, ReplyTo, To, Cc, Bcc []Address
	InReplyTo, MessageID               string

	// A text above is empty both if its field is and if there is none. ENVELOPE tells
	// one from the other: these are set if there is such a field.
	HasDate, HasSubject, HasInReplyTo, HasMessageID bool
}

// MaxAddresses is how many addresses, group marks included, are read of one
// field of a header. Those beyond are dropped.
const MaxAddresses = 10000

// Stand-ins for what an address lacks. In ENVELOPE an address without a host is
// the mark of a group, so a plain "root" needs a host to be told from it.
const (
	MissingMailbox = "MISSING_MAILBOX"
	MissingHost    = "MISSING_DOMAIN"
)

// Address is one address structure of ENVELOPE, or one of the two marks around
// the members of a group: the start has the group's name as Mailbox, the end has
// nothing, and both have no Host. An address always has Mailbox and Host, if need
// be [MissingMailbox] and [MissingHost].
type Address struct {
	Name    string // the display name without quotes, or a comment in its place
	Route   string // the source route (RFC 5322 section 4.4), such as "@a.example,@b.example"
	Mailbox string // the local part without quotes
	Host    string
}

// IsGroupStart reports whether the addresses up to the next group end are the
// members of the group that Mailbox names.
func (a Address) IsGroupStart() bool { return a.Host == "" && a.Mailbox != "" }

// IsGroupEnd reports whether a ends a group.
func (a Address) IsGroupEnd() bool { return a.Host == "" && a.Mailbox == "" }

// ParseEnvelope reads the envelope from a header block. Of a field that is
// repeated the first counts, but all of To, Cc and Bcc, whose lists are joined
// (RFC 5322 section 4.5.3). Sender and ReplyTo are From if they are absent or
// empty.
func ParseEnvelope(h Header) *Envelope {
	e := &Envelope{}
	texts := [...]struct {
		name string
		text *string
		has  *bool
	}{
		{"Date", &e.Date, &e.HasDate}, {"Subject", &e.Subject, &e.HasSubject},
		{"In-Reply-To", &e.InReplyTo, &e.HasInReplyTo}, {"Message-ID", &e.MessageID, &e.HasMessageID},
	}
	lists := [...]struct {
		name  string
		list  *[]Address
		joins bool
		seen  bool
	}{
		{name: "From", list: &e.From}, {name: "Sender", list: &e.Sender}, {name: "Reply-To", list: &e.ReplyTo},
		{name: "To", list: &e.To, joins: true}, {name: "Cc", list: &e.Cc, joins: true}, {name: "Bcc", list: &e.Bcc, joins: true},
	}
	for name, value := range h.Fields() {
		for i := range texts {
			if t := &texts[i]; !*t.has && strings.EqualFold(name, t.name) {
				*t.text, *t.has = Unfold(value), true
			}
		}
		for i := range lists {
			if l := &lists[i]; (l.joins || !l.seen) && strings.EqualFold(name, l.name) {
				*l.list, l.seen = appendAddresses(*l.list, Unfold(value)), true
			}
		}
	}
	if len(e.Sender) == 0 {
		e.Sender = e.From
	}
	if len(e.ReplyTo) == 0 {
		e.ReplyTo = e.From
	}
	return e
}
