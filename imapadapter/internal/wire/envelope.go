package wire

import (
	"strings"
	"unicode/utf8"

	"github.com/letterlock/letterlock/mailbox/message"
)

// header appends text of a header as it stands, or NIL if there is none. Where the
// client was promised UTF-8, octets that are none are read in the charset of the
// message, else as Windows-1252.
func (e *Encoder) header(s string) { e.NString(e.legible(s)) }

func (e *Encoder) legible(s string) string {
	if e.UTF8 && !utf8.ValidString(s) {
		s = strings.ToValidUTF8(e.fields.Decode(s), "\uFFFD")
	}
	return s
}

// Envelope appends ENVELOPE of a header (RFC 9051 section 7.5.2): the header's own
// text, also of the date.
func (e *Encoder) Envelope(h message.Header) {
	e.fields = h
	defer func() { e.fields = message.Header{} }()
	env := message.ParseEnvelope(h)
	e.Text("(")
	e.field(env.Date, env.HasDate)
	e.Text(" ")
	e.field(env.Subject, env.HasSubject)
	for _, list := range [][]message.Address{env.From, env.Sender, env.ReplyTo, env.To, env.Cc, env.Bcc} {
		e.Text(" ")
		e.addresses(list)
	}
	e.Text(" ")
	e.field(env.InReplyTo, env.HasInReplyTo)
	e.Text(" ")
	e.field(env.MessageID, env.HasMessageID)
	e.Text(")")
}

// field appends the text of a field: an empty string if it is empty, and NIL only if it
// is absent.
func (e *Encoder) field(text string, has bool) {
	if !has {
		e.Text("NIL")
		return
	}
	e.value(text)
}

func (e *Encoder) addresses(list []message.Address) {
	if len(list) == 0 {
		e.Text("NIL")
		return
	}
	e.Text("(")
	for _, a := range list {
		e.Text("(")
		for i, s := range []string{a.Name, a.Route, a.Mailbox, a.Host} {
			if i > 0 {
				e.Text(" ")
			}
			e.header(s)
		}
		e.Text(")")
	}
	e.Text(")")
}

// BodyStructure appends BODY of a part, or with extended BODYSTRUCTURE (RFC 9051
// section 7.5.2).
func (e *Encoder) BodyStructure(p *message.Part, extended bool) {
	e.Text("(")
	if p.IsMultipart() && len(p.Children) > 0 {
		for _, c := range p.Children {
			e.BodyStructure(c, extended)
		}
		e.Text(" ")
		e.value(p.Subtype)
		if extended {
			e.Text(" ")
			e.params(p.Params)
		}
	} else {
		e.leaf(p, extended)
	}
	if extended {
		e.Text(" ")
		e.disposition(p)
		e.Text(" ")
		e.language(p.Language)
		e.Text(" ")
		e.header(p.Location)
	}
	e.Text(")")
}

// MediaType returns what BODYSTRUCTURE calls a part that has no parts of a multipart, and
// whether it has the structure of an enclosed message. What could not be parsed is shown
// as something without structure.
func MediaType(p *message.Part) (typ, subtype string, encloses bool) {
	switch {
	case p.IsMultipart(): // without parts
		return "text", "plain", false
	case p.IsMessage() && len(p.Children) != 1:
		return "application", "octet-stream", false
	}
	return p.Type, p.Subtype, p.IsMessage()
}

// leaf appends what is no multipart, up to its MD5.
func (e *Encoder) leaf(p *message.Part, extended bool) {
	typ, subtype, encloses := MediaType(p)
	e.value(typ)
	e.Text(" ")
	e.value(subtype)
	e.Text(" ")
	e.params(p.Params)
	e.Text(" ")
	e.header(p.ID)
	e.Text(" ")
	e.header(p.Description)
	e.Text(" ")
	e.value(p.Encoding)
	e.Text(" ")
	e.Num(uint64(min(p.BodySize, 1<<32-1)))
	if encloses {
		e.Text(" ")
		e.Envelope(p.Children[0].HeaderFields())
		e.Text(" ")
		e.BodyStructure(p.Children[0], extended)
	}
	if encloses || typ == "text" {
		e.Text(" ")
		e.Num(uint64(p.Lines))
	}
	if extended {
		e.Text(" ")
		e.header(p.MD5)
	}
}

// value appends a string that is never NIL.
func (e *Encoder) value(s string) { e.String(e.legible(s)) }

func (e *Encoder) params(list []message.Param) {
	if len(list) == 0 {
		e.Text("NIL")
		return
	}
	e.Text("(")
	for i, p := range list {
		if i > 0 {
			e.Text(" ")
		}
		e.value(p.Name)
		e.Text(" ")
		e.value(p.Value)
	}
	e.Text(")")
}

func (e *Encoder) disposition(p *message.Part) {
	if p.Disposition == "" {
		e.Text("NIL")
		return
	}
	e.Text("(")
	e.value(p.Disposition)
	e.Text(" ")
	e.params(p.DispositionParams)
	e.Text(")")
}

func (e *Encoder) language(tags []string) {
	if len(tags) == 0 {
		e.Text("NIL")
		return
	}
	e.Text("(")
	for i, t := range tags {
		if i > 0 {
			e.Text(" ")
		}
		e.value(t)
	}
	e.Text(")")
}
