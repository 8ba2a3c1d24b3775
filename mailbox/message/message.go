// Package message understands the bytes of one mail without ever holding the
// mail.
//
// A [Scanner] is written to while the mail is stored, in the same pass, and
// yields a [Message]: the header block, and the tree of MIME parts with the
// offset and size of every header and every body. That is all IMAP needs for
// BODYSTRUCTURE and ENVELOPE, and to turn FETCH BODY[2.1]<0.2048> into one range
// of the stored bytes.
//
//	bytes --> Scanner --> Message --Encode--> stored beside the mail
//	                        |-- Section(2.1)   --> a range to read
//	                        |-- ParseEnvelope  --> ENVELOPE
//	                        |-- SearchText     --> ranges to read and match
//
// Promised: no input makes the scanner fail, take memory that grows with the
// mail, or report an offset outside of it. How the input was cut into writes
// never matters. Mail that breaks the rules (no boundary, a bare LF, NUL, a
// header that never ends) is read by fixed rules and always comes out as
// something IMAP can express.
//
// Not promised: that a hostile mail is understood the way its reader will
// understand it. Beyond the limits of this package the rest of a mail is one
// opaque body, and a header block longer than [MaxHeader] is reduced, which
// [Message.HeaderCut] tells.
//
// Nothing here changes a byte of a mail, and nothing does I/O but
// [Message.SearchText], through a function it is given. The rules, and the stored
// form byte for byte, are in docs/format-message.md. Read scanner.go next.
package message

// Limits of what is kept about one message. They bound the scanner's memory and
// the size of [Message.Encode].
const (
	// MaxHeader is how many octets of a root header block are kept as they
	// stand. Ordinary headers are 1 to 8 KiB; 32 KiB also holds those with
	// dozens of Received and ARC fields.
	MaxHeader = 32 << 10

	// MaxEnclosedHeader is the same for the header of a message inside a
	// message/rfc822 part. Only its ENVELOPE is made of it.
	MaxEnclosedHeader = 8 << 10

	// MaxPartHeader is how many octets of the MIME fields of one part are read.
	// It is well above the longest file names that RFC 2231 cuts into pieces.
	MaxPartHeader = 4 << 10

	// MaxDepth is how many parts may lie inside each other, the root included.
	// Mail forwarded a dozen times has a depth of about 30.
	MaxDepth = 64

	// MaxParts is how many parts a message may have, the root included.
	MaxParts = 1000

	// MaxMetadata is how many octets the MIME fields of all parts and the
	// enclosed headers may have together, the root's header block aside, and
	// with 32 for each parameter. No part is opened once they have that many; so
	// they may exceed it by what one part may have.
	MaxMetadata = 256 << 10

	// MaxParams is how many parameters of one field are kept.
	MaxParams = 64

	// MaxBoundary is the longest boundary that is looked for, in octets. RFC
	// 2046 section 5.1.1 allows 70; a line of mail can hold 996.
	MaxBoundary = 996
)

// Message is what is known of one mail. It is not changed once the scanner or
// [Decode] has returned it, and may then be used by many goroutines.
type Message struct {
	// Size is the number of octets as received.
	Size int64

	// Header is the header block of the mail as it stands, with its final blank
	// line if it has one. If HeaderCut is set the block was longer than
	// [MaxHeader] and Header is a reduced one: the first of each field that
	// ENVELOPE, BODYSTRUCTURE and threading use, whole where there is room and
	// else cut at the end of a line or word, with a final blank line. Who needs
	// the rest reads the first Root.HeaderSize octets of the mail.
	Header    []byte
	HeaderCut bool

	// Preview is the beginning of the mail's text on one line (RFC 8970): of the
	// first text part that is no attachment and has something to show, decoded,
	// HTML without its tags, at most [MaxPreview] characters. It may be empty.
	// HasPreview is not set in what was stored before there were previews; see
	// [Message.MakePreview].
	Preview    string
	HasPreview bool

	// Root is the mail as a part: its header is the mail's header, its body the
	// mail's body (BODY[TEXT]).
	Root *Part
}

// Part is one node of a message's MIME tree. There are three kinds:
//
//   - A multipart (Type is "multipart") has one or more Children.
//   - An enclosed message (message/rfc822 or message/global) has exactly one
//     child: the root of the message inside.
//   - Any other part is a leaf without children.
//
// So every tree can be sent as BODYSTRUCTURE (RFC 9051 section 7.5.2). To keep it
// so: a multipart without a boundary parameter is a text/plain leaf (RFC 2045
// section 5.2); a multipart in which no boundary line was found has one
// text/plain child with an empty header and the whole body; a multipart or
// message that may not be opened, because a limit is reached or (message only)
// because it is base64 or quoted-printable, is an application/octet-stream leaf.
type Part struct {
	// Type and Subtype are in lower case. Without a Content-Type field, or with
	// one that cannot be read, a part is text/plain, but message/rfc822 directly
	// inside a multipart/digest that gives no type.
	Type, Subtype string

	// Params are the parameters of Content-Type in their order, the first of
	// each name.
	Params []Param

	// The text of Content-ID, Content-Description, Content-MD5 and
	// Content-Location: unfolded, encoded-words as they are, empty if the field
	// is absent.
	ID, Description, MD5, Location string

	// Encoding is the Content-Transfer-Encoding in lower case; "7bit" if there
	// is none.
	Encoding string

	// Disposition is the type of Content-Disposition in lower case, empty if
	// there is none.
	Disposition       string
	DispositionParams []Param

	// Language holds the tags of Content-Language in their order.
	Language []string

	// HeaderOffset and HeaderSize are the part's MIME header in the mail, with
	// its blank line. BodyOffset is always HeaderOffset+HeaderSize.
	HeaderOffset, HeaderSize int64

	// BodyOffset and BodySize are what BODY[n] returns.
	BodyOffset, BodySize int64

	// Lines is the number of line ends (LF) in the body of a text part or an
	// enclosed message (body-fld-lines), zero for other parts.
	Lines int64

	Children []*Part

	// Header is the header block of an enclosed message, for its ENVELOPE, nil
	// in all other parts. HeaderCut says that it was longer than
	// [MaxEnclosedHeader] and is reduced as [Message.Header] is.
	Header    []byte
	HeaderCut bool
}

// Param is a parameter of a structured field. Name is in lower case. Value is
// without quotes and otherwise as it stands.
//
// Parameters that RFC 2231 cut into pieces are joined as BODYSTRUCTURE of other
// servers shows them: the pieces filename*0 and filename*1 become filename;
// if any piece is percent-encoded (filename*0*) they become filename*, with the
// value charset'language'percent-encoded text. Pieces that are not numbered from 0, and
// those behind a gap, stay as they are (filename*2).
type Param struct {
	Name, Value string
}

// IsMultipart reports whether the part is a multipart; it then has children.
func (p *Part) IsMultipart() bool { return p.Type == "multipart" }

// IsMessage reports whether the part is an enclosed message; it then has exactly
// one child.
func (p *Part) IsMessage() bool {
	return p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global")
}

// Param returns the value of a parameter of Content-Type, decoded if RFC 2231
// encoded it, or the empty string. name is in lower case.
func (p *Part) Param(name string) string { return paramValue(p.Params, name) }

// Section finds a part by its IMAP part number (RFC 9051 section 6.4.5): {2, 1}
// is part 2.1. The children of a multipart are counted from 1; a message that is
// no multipart has one part, 1, which is its root; the parts of an enclosed
// message are numbered below the part that encloses it. The empty path is the
// root. It reports false if there is no such part.
func (m *Message) Section(path []int) (*Part, bool) {
	p, root := m.Root, true
	for _, n := range path {
		if p.IsMessage() && !root {
			p, root = p.Children[0], true
		}
		switch {
		case p.IsMultipart() && 1 <= n && n <= len(p.Children):
			p = p.Children[n-1]
		case p.IsMultipart() || !root || n != 1:
			return nil, false
		}
		root = false
	}
	return p, true
}

func (p *Part) end() int64 { return p.BodyOffset + p.BodySize }
