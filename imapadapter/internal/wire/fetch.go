package wire

import (
	"strconv"
	"strings"
)

// Fetch is what FETCH says.
type Fetch struct {
	Set Set

	UID, Flags, InternalDate, Size, Envelope bool
	Body, BodyStructure                      bool // BODY without a section; with extension data
	ModSeq, EmailID, SaveDate                bool // RFC 7162, RFC 8474, RFC 8514
	ThreadID                                 bool // RFC 8474
	Preview                                  bool // RFC 8970
	PreviewLazy                              bool // PREVIEW (LAZY)
	Sections                                 []Section
	Binaries                                 []Section // BINARY (RFC 3516)
	BinarySizes                              [][]int   // BINARY.SIZE

	ChangedSince *uint64 // RFC 7162 section 3.1.4.1
	Vanished     bool    // RFC 7162 section 3.2.6
	Partial      *PartialRange
}

// Section is BODY[...] or BINARY[...].
type Section struct {
	Part    []int
	Kind    string   // "", HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT or MIME
	Fields  []string // of HEADER.FIELDS and HEADER.FIELDS.NOT
	Partial *Partial
	Peek    bool
	Binary  bool
	// Name stands in the answer in place of BODY[...] or BINARY[...]: RFC822 and
	// its likes.
	Name string
}

// Partial is <offset.count>: bytes of a section.
type Partial struct{ Offset, Count int64 }

// PartialRange is a run of results, counted from the first or with negative numbers from
// the last (RFC 9394 section 3.1). First is the one closer to where counting begins.
type PartialRange struct{ First, Last int64 }

// Of returns the run of ascending numbers that is asked for.
func (r *PartialRange) Of(all []Range) []Range {
	var total int64
	for _, x := range all {
		total += int64(x.Last) - int64(x.First) + 1
	}
	first, last := min(r.First, r.Last), max(r.First, r.Last)
	if first < 0 {
		first, last = total+first+1, total+last+1
	}
	var out []Range
	before := int64(0)
	for _, x := range all {
		n := int64(x.Last) - int64(x.First) + 1
		from, to := max(first-before, 1), min(last-before, n)
		if from <= to {
			out = append(out, Range{x.First + uint32(from-1), x.First + uint32(to-1)})
		}
		before += n
	}
	return out
}

// PartialRange takes a run of results.
func (p *Parser) PartialRange() *PartialRange {
	sign := int64(1)
	if p.Peek() == '-' {
		sign = -1
	}
	number := func() int64 {
		if sign < 0 {
			p.Expect('-')
		}
		return sign * int64(p.NzNumber())
	}
	r := &PartialRange{First: number()}
	p.Expect(':')
	r.Last = number()
	if sign*r.First > sign*r.Last {
		r.First, r.Last = r.Last, r.First
	}
	return r
}

// Fetch takes the arguments of FETCH.
func (p *Parser) Fetch() *Fetch {
	p.SP()
	f := &Fetch{Set: p.Set()}
	p.SP()
	if p.Peek() == '(' {
		p.List(false, func() { p.fetchItem(f, false) })
	} else {
		p.fetchItem(f, true)
	}
	if p.TrySP() {
		p.List(false, func() { p.fetchModifier(f) })
	}
	if f.Vanished && f.ChangedSince == nil {
		p.Fail("VANISHED needs CHANGEDSINCE")
	}
	return f
}

func (p *Parser) fetchModifier(f *Fetch) {
	switch p.OneOf("a modifier of FETCH", "CHANGEDSINCE", "VANISHED", "PARTIAL") {
	case "CHANGEDSINCE":
		p.SP()
		n := p.Number64()
		f.ChangedSince = &n
	case "VANISHED":
		f.Vanished = true
	case "PARTIAL":
		p.SP()
		f.Partial = p.PartialRange()
	}
}

// fetchItem takes one thing that is asked for, or if alone is set a macro.
func (p *Parser) fetchItem(f *Fetch, alone bool) {
	name := p.Word()
	if p.Peek() == '[' {
		p.sectionItem(f, name)
		return
	}
	switch name {
	case "ALL", "FAST", "FULL":
		if !alone {
			p.Fail("a macro of FETCH stands alone")
		}
		f.Flags, f.InternalDate, f.Size = true, true, true
		f.Envelope = f.Envelope || name != "FAST"
		f.Body = f.Body || name == "FULL"
	case "UID":
		f.UID = true
	case "FLAGS":
		f.Flags = true
	case "INTERNALDATE":
		f.InternalDate = true
	case "RFC822.SIZE":
		f.Size = true
	case "ENVELOPE":
		f.Envelope = true
	case "BODY":
		f.Body = true
	case "BODYSTRUCTURE":
		f.BodyStructure = true
	case "MODSEQ":
		f.ModSeq = true
	case "EMAILID":
		f.EmailID = true
	case "SAVEDATE":
		f.SaveDate = true
	case "THREADID":
		f.ThreadID = true
	case "PREVIEW":
		f.Preview = true
		p.previewModifiers(f)
	case "RFC822":
		f.Sections = append(f.Sections, Section{Name: name})
	case "RFC822.HEADER":
		f.Sections = append(f.Sections, Section{Name: name, Kind: "HEADER", Peek: true})
	case "RFC822.TEXT":
		f.Sections = append(f.Sections, Section{Name: name, Kind: "TEXT"})
	default:
		p.Fail("expected an item of FETCH")
	}
}

// previewModifiers takes what may follow PREVIEW, and leaves the modifiers of FETCH
// itself.
func (p *Parser) previewModifiers(f *Fetch) {
	const list = " (LAZY)"
	if rest := p.b[p.i:]; p.err == nil && len(rest) >= len(list) && strings.EqualFold(string(rest[:len(list)]), list) {
		f.PreviewLazy = true
		p.i += len(list)
	}
}

// maxSections bounds what one FETCH may ask for of each message.
const maxSections = 1000

func (p *Parser) sectionItem(f *Fetch, name string) {
	switch name {
	case "BODY", "BODY.PEEK", "BINARY", "BINARY.PEEK", "BINARY.SIZE":
	default:
		p.Fail("expected an item of FETCH")
		return
	}
	binary := strings.HasPrefix(name, "BINARY")
	s := p.section(binary)
	s.Binary = binary
	s.Peek = strings.HasSuffix(name, ".PEEK")
	if name != "BINARY.SIZE" && p.Try('<') {
		s.Partial = &Partial{Offset: int64(p.Number())}
		p.Expect('.')
		s.Partial.Count = int64(p.NzNumber())
		p.Expect('>')
	}
	switch {
	case len(f.Sections)+len(f.Binaries)+len(f.BinarySizes) == maxSections:
		p.Fail("too many sections")
	case name == "BINARY.SIZE":
		f.BinarySizes = append(f.BinarySizes, s.Part)
	case binary:
		f.Binaries = append(f.Binaries, s)
	default:
		f.Sections = append(f.Sections, s)
	}
}

// section takes a section specification in brackets; only numbers are allowed in
// BINARY's.
func (p *Parser) section(numbers bool) Section {
	var s Section
	p.Expect('[')
	for c := p.Peek(); '0' <= c && c <= '9'; c = p.Peek() {
		s.Part = append(s.Part, int(p.NzNumber()))
		if len(s.Part) > MaxDepth {
			p.Fail("nested too deep")
		}
		if !p.Try('.') {
			p.Expect(']')
			return s
		}
	}
	if p.Try(']') {
		if s.Part != nil {
			p.Fail("expected a part")
		}
		return s
	}
	if numbers {
		p.Fail("expected a part")
	}
	s.Kind = p.OneOf("a section", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT", "MIME")
	if s.Kind == "MIME" && s.Part == nil {
		p.Fail("BODY[MIME] needs a part number")
	}
	if strings.HasPrefix(s.Kind, "HEADER.FIELDS") {
		p.SP()
		p.List(false, func() {
			if p.names++; p.names > maxList {
				p.Fail("too many header fields")
			}
			s.Fields = append(s.Fields, p.AString())
		})
	}
	p.Expect(']')
	return s
}

// Section appends the name under which a section is answered, without PEEK, and
// with the offset of its partial.
func (e *Encoder) Section(s *Section) {
	if s.Name != "" {
		e.Text(s.Name)
		return
	}
	prefix := "BODY"
	if s.Binary {
		prefix = "BINARY"
	}
	e.Text(prefix, "[")
	e.numbers(s.Part)
	if s.Part != nil && s.Kind != "" {
		e.Text(".")
	}
	e.Text(s.Kind)
	if s.Fields != nil {
		e.Text(" (")
		for i, f := range s.Fields {
			if i > 0 {
				e.Text(" ")
			}
			e.AString(f)
		}
		e.Text(")")
	}
	e.Text("]")
	if s.Partial != nil {
		e.Text("<")
		e.Num(uint64(s.Partial.Offset))
		e.Text(">")
	}
}

// Part appends the number of a part in brackets.
func (e *Encoder) Part(part []int) {
	e.Text("[")
	e.numbers(part)
	e.Text("]")
}

func (e *Encoder) numbers(part []int) {
	for i, n := range part {
		if i > 0 {
			e.Text(".")
		}
		e.Num(uint64(n))
	}
}

// AString appends an atom if s is one, else a string.
func (e *Encoder) AString(s string) {
	for i := range len(s) {
		if !atomChar(s[i]) {
			e.String(s)
			return
		}
	}
	if s == "" || strings.EqualFold(s, "NIL") {
		e.String(s)
		return
	}
	e.Text(s)
}

// PartialRange appends a run of results as it was asked for.
func (e *Encoder) PartialRange(r *PartialRange) {
	e.B = strconv.AppendInt(e.B, r.First, 10)
	e.Text(":")
	e.B = strconv.AppendInt(e.B, r.Last, 10)
}
