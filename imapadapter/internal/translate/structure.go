package translate

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox/message"
)

// Envelope returns ENVELOPE of a header block for go-imap's server. That prints the date
// anew, encodes text that is not printable ASCII, puts angle brackets around message IDs,
// and has no place for source routes.
func Envelope(header []byte) *imap.Envelope {
	h := message.ParseHeader(header)
	e := message.ParseEnvelope(h)
	out := &imap.Envelope{
		Subject:   headerText(e.Subject),
		From:      addresses(e.From),
		Sender:    addresses(e.Sender),
		ReplyTo:   addresses(e.ReplyTo),
		To:        addresses(e.To),
		Cc:        addresses(e.Cc),
		Bcc:       addresses(e.Bcc),
		MessageID: messageIDs(e.MessageID),
	}
	if t, ok := h.Date(); ok {
		out.Date = t
	}
	if ids := messageIDs(e.InReplyTo); ids != "" {
		out.InReplyTo = []string{ids}
	}
	return out
}

func addresses(list []message.Address) []imap.Address {
	var out []imap.Address
	for _, a := range list {
		out = append(out, imap.Address{Name: headerText(a.Name), Mailbox: clean(a.Mailbox), Host: clean(a.Host)})
	}
	return out
}

// headerText returns text so that go-imap sends what the header says. Printable
// ASCII it sends as it is, encoded-words and all. Anything else it takes for
// UTF-8 and makes encoded-words of, so there the text must be UTF-8 and hold no
// encoded-words of its own.
func headerText(s string) string {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c >= 0x7f) && c != '\t' {
			return clean(message.DecodeHeader(s))
		}
	}
	return s
}

// clean returns text as a string of IMAP may hold it: without NUL, and in UTF-8,
// for which octets that are none are read as Windows-1252.
func clean(s string) string {
	s = strings.ReplaceAll(s, "\x00", "")
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(message.DecodeHeader(s), "\uFFFD")
	}
	return s
}

// messageIDs returns the text of Message-ID or In-Reply-To without the outermost
// angle brackets, which go-imap puts back: so "<a> <b>" comes out as it went
// in. Of other text the IDs in it are kept, and text that has none but is one
// word is taken for an ID that lacks its brackets.
func messageIDs(s string) string {
	s = clean(strings.TrimSpace(s))
	if strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") {
		return s[1 : len(s)-1]
	}
	var ids []string
	for rest := s; ; {
		_, after, found := strings.Cut(rest, "<")
		id, after, closed := strings.Cut(after, ">")
		if !found || !closed {
			break
		}
		ids = append(ids, id)
		rest = after
	}
	if len(ids) == 0 && !strings.ContainsAny(s, " \t<>") {
		return s
	}
	return strings.Join(ids, "> <")
}

// BodyStructure returns BODYSTRUCTURE of a part for go-imap's server. That has no place
// for Content-MD5, sorts parameters by name, and panics if a multipart has no parts or
// the extension data is missing.
func BodyStructure(p *message.Part) imap.BodyStructure {
	var disposition *imap.BodyStructureDisposition
	if p.Disposition != "" {
		disposition = &imap.BodyStructureDisposition{Value: clean(p.Disposition), Params: params(p.DispositionParams)}
	}
	language := make([]string, 0, len(p.Language))
	for _, l := range p.Language {
		language = append(language, clean(l))
	}
	if len(p.Children) > 0 && p.IsMultipart() {
		out := &imap.BodyStructureMultiPart{
			Subtype: clean(p.Subtype),
			Extended: &imap.BodyStructureMultiPartExt{
				Params:      params(p.Params),
				Disposition: disposition,
				Language:    language,
				Location:    clean(p.Location),
			},
		}
		for _, c := range p.Children {
			out.Children = append(out.Children, BodyStructure(c))
		}
		return out
	}
	typ, subtype, encloses := wire.MediaType(p)
	out := &imap.BodyStructureSinglePart{
		Type:        clean(typ),
		Subtype:     clean(subtype),
		Params:      params(p.Params),
		ID:          clean(p.ID),
		Description: clean(p.Description),
		Encoding:    clean(p.Encoding),
		Size:        uint32(min(p.BodySize, math.MaxUint32)),
		Extended: &imap.BodyStructureSinglePartExt{
			Disposition: disposition,
			Language:    language,
			Location:    clean(p.Location),
		},
	}
	switch {
	case encloses:
		out.MessageRFC822 = &imap.BodyStructureMessageRFC822{
			Envelope:      Envelope(p.Children[0].Header),
			BodyStructure: BodyStructure(p.Children[0]),
			NumLines:      p.Lines,
		}
	case typ == "text":
		out.Text = &imap.BodyStructureText{NumLines: p.Lines}
	}
	return out
}

func params(list []message.Param) map[string]string {
	if len(list) == 0 {
		return nil
	}
	out := make(map[string]string, len(list))
	for _, p := range list {
		out[clean(p.Name)] = clean(p.Value)
	}
	return out
}
