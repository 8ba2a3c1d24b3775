package message

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// MaxPreview is how many characters a preview has at most (RFC 8970 section 3.1
// recommends 200 and forbids more than 256).
const MaxPreview = 200

const (
	// previewPlain and previewHTML are how many octets of a part a preview is made
	// of. HTML begins with style sheets, which may be long.
	previewPlain = 8 << 10
	previewHTML  = 1 << 20
	// previewParts is how many parts are tried until one has text.
	previewParts = 8
	// previewBlock is how much of a part is decoded at once.
	previewBlock = 4 << 10
)

// previewing is the part of a scanner that makes the preview: of the first part
// that is text, is no attachment, and has something to show.
type previewing struct {
	part  *Part // whose body passes
	maker *previewMaker
	tried int
	text  string
}

// begin is told of each part whose body begins, multiparts included: one without
// any boundary line turns out to be text.
func (v *previewing) begin(p *Part) {
	if v.part = nil; v.text == "" && v.tried < previewParts && (p.previews() || p.IsMultipart()) {
		if v.maker == nil {
			v.maker = previewMakers.Get().(*previewMaker)
		}
		v.part = p
		v.maker.begin(p)
	}
}

// close gives the memory back.
func (v *previewing) close() {
	if v.maker != nil {
		v.maker.forget()
		previewMakers.Put(v.maker)
	}
	v.part, v.maker = nil, nil
}

func (v *previewing) take(b []byte) {
	if v.part != nil {
		v.maker.take(b)
	}
}

// end is told of each part that ends; is says what it turned out to be, and n how many
// octets at its end, the line end before a boundary line, do not belong to it.
func (v *previewing) end(p, is *Part) {
	if v.part != p {
		return
	}
	v.part = nil
	if is.previews() {
		v.tried++
		v.text = v.maker.end(is.BodySize)
	}
}

// previews reports whether a preview may be made of the part.
func (p *Part) previews() bool {
	return p.Type == "text" && p.Disposition != "attachment" && len(p.Children) == 0
}

func (p *Part) previewLimit() int64 {
	if p.Type == "text" && p.Subtype == "html" {
		return previewHTML
	}
	return previewPlain
}

// previewMaker makes the preview of one part, whose body is written to it. It decodes a
// block at a time, and nothing more once the preview is complete.
type previewMaker struct {
	decoders
	raw     feed      // what was written and is not decoded yet
	cte     io.Reader // removes the transfer encoding of raw
	charset transform.Transformer
	html    bool
	strip   htmlText
	line    shortener
	left    int64 // octets that may yet be looked at
	taken   int64
	bytes   []byte // without transfer encoding
	text    []byte // in UTF-8
}

var previewMakers = sync.Pool{New: func() any {
	return &previewMaker{
		decoders: decoders{block: previewBlock},
		raw:      feed{b: make([]byte, 0, previewBlock)},
		bytes:    make([]byte, 0, previewBlock/2),
		text:     make([]byte, previewBlock),
	}
}}

// feed is a reader of what is written to it. It is at its end once it is closed.
type feed struct {
	b      []byte
	at     int
	closed bool
}

func (f *feed) Read(p []byte) (int, error) {
	n := copy(p, f.b[f.at:])
	if f.at += n; n == 0 && f.closed {
		return 0, io.EOF
	}
	return n, nil
}

func (m *previewMaker) begin(p *Part) {
	m.forget()
	m.left = p.previewLimit()
	m.cte, m.html = &m.raw, false
	m.charset = lenientUTF8{}
	if p.Type == "text" {
		m.cte, _ = p.decoder(&m.raw, &m.decoders)
		m.charset = charsetDecoder(p.Param("charset"))
		m.html = p.Subtype == "html"
	}
}

// forget lets go of what was written, and overwrites it.
func (m *previewMaker) forget() {
	m.decoders.forget()
	clear(m.raw.b[:cap(m.raw.b)])
	clear(m.bytes[:cap(m.bytes)])
	clear(m.text)
	m.raw = feed{b: m.raw.b[:0]}
	m.bytes = m.bytes[:0]
	m.strip, m.line = htmlText{quotes: true}, shortener{}
	m.taken = 0
	m.cte, m.charset = nil, nil
}

func (m *previewMaker) take(b []byte) {
	b = b[:min(int64(len(b)), m.left)]
	m.left -= int64(len(b))
	for len(b) > 0 && !m.line.full() {
		n := min(len(b), previewBlock-len(m.raw.b))
		m.raw.b = append(m.raw.b, b[:n]...)
		if b = b[n:]; len(b) > 0 {
			// The last octets are held back: they may be the line end of a boundary line.
			m.decode()
		}
	}
}

// decode decodes what is in raw, and makes room there.
func (m *previewMaker) decode() {
	m.raw.at = 0
	for !m.line.full() {
		free := m.bytes[len(m.bytes):cap(m.bytes)]
		n, err := m.cte.Read(free)
		m.bytes = m.bytes[:len(m.bytes)+n]
		m.convert(err != nil)
		if n == 0 {
			break
		}
	}
	m.taken += int64(len(m.raw.b))
	m.raw.b, m.raw.at = m.raw.b[:0], 0
}

// convert converts the charset of what is in bytes, and leaves there what is incomplete.
func (m *previewMaker) convert(final bool) {
	src := m.bytes
	for {
		nDst, nSrc, err := m.charset.Transform(m.text, src, final)
		m.show(m.text[:nDst], final && err == nil)
		src = src[nSrc:]
		if err != transform.ErrShortDst {
			break
		}
	}
	if len(src) == cap(m.bytes) { // no charset needs as much to go on
		src = nil
	}
	m.bytes = m.bytes[:copy(m.bytes[:cap(m.bytes)], src)]
}

func (m *previewMaker) show(text []byte, final bool) {
	if m.html {
		m.strip.write(&m.line, string(text), final)
		return
	}
	m.line.write(text)
}

// end returns the preview of a part that turned out to have size octets.
func (m *previewMaker) end(size int64) string {
	if over := m.taken + int64(len(m.raw.b)) - size; over > 0 {
		m.raw.b = m.raw.b[:max(0, int64(len(m.raw.b))-over)]
	}
	m.raw.closed = true
	m.decode()
	return m.line.String()
}

// shortener makes one line of a text, without what cannot be seen, cut to the length
// of a preview.
type shortener struct {
	b     strings.Builder
	n     int // characters in b
	space bool
}

func (s *shortener) full() bool { return s.n >= MaxPreview }

func (s *shortener) write(text []byte) {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		switch {
		case r <= ' ' || r == 0x7f:
			s.space = true
			continue
		case r < utf8.RuneSelf:
		case unicode.IsSpace(r) || unicode.IsControl(r):
			s.space = true
			continue
		case unicode.Is(unicode.Cf, r) || r == '\u034f':
			continue // such as the soft hyphens and joiners that newsletters are padded with
		}
		if s.space && s.n > 0 {
			s.b.WriteByte(' ')
			s.n++
		}
		if s.space = false; s.full() {
			return
		}
		s.b.WriteRune(r)
		s.n++
	}
}

func (s *shortener) String() string { return strings.TrimRight(s.b.String(), " ") }

func shorten(text string) string {
	var s shortener
	s.write([]byte(text))
	return s.String()
}

// MakePreview makes the preview of a message that was stored without one
// ([Message.HasPreview]). open returns n octets of the mail from off on; it is
// called for each part that is tried, up to 1 MiB.
func (m *Message) MakePreview(ctx context.Context, open func(off, n int64) (io.ReadCloser, error)) (string, error) {
	v := previewing{}
	defer v.close()
	var walk func(p *Part) error
	walk = func(p *Part) error {
		for _, c := range p.Children {
			if err := walk(c); err != nil {
				return err
			}
		}
		if v.text != "" || v.tried == previewParts || !p.previews() {
			return ctx.Err()
		}
		v.begin(p)
		r, err := open(p.BodyOffset, min(p.BodySize, p.previewLimit()))
		if err != nil {
			return err
		}
		_, err = io.Copy(v.maker, r)
		v.end(p, p)
		return errors.Join(err, r.Close())
	}
	if err := walk(m.Root); err != nil {
		return "", fmt.Errorf("message: preview: %w", err)
	}
	return v.text, nil
}

// Write takes the next octets of a part.
func (m *previewMaker) Write(b []byte) (int, error) {
	m.take(b)
	return len(b), nil
}

// badPreview reports whether a stored preview is none that a scanner makes.
func badPreview(s string) bool {
	space := true // was the last character, and none may be the first
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ' && !space:
			space = true
		case ' ' < c && c < 0x7f:
			space = false
		case c >= utf8.RuneSelf:
			return badText(s)
		default:
			return true
		}
	}
	return len(s) > MaxPreview || space && s != ""
}

// badText is badPreview for any text.
func badText(s string) bool {
	return utf8.RuneCountInString(s) > MaxPreview || !utf8.ValidString(s) || shorten(s) != s
}
