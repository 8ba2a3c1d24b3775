package imapadapter

import (
	"io"
	"math"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
)

// fetchOf returns what the engine parsed of a FETCH in our terms. Sections stay in
// their order, so that engineSink finds the engine's own.
func fetchOf(o *imap.FetchOptions) *wire.Fetch {
	f := &wire.Fetch{UID: o.UID, Flags: o.Flags, InternalDate: o.InternalDate, Size: o.RFC822Size, Envelope: o.Envelope}
	f.BodyStructure = o.BodyStructure != nil
	for _, s := range o.BodySection {
		sec := wire.Section{Part: s.Part, Kind: string(s.Specifier), Partial: partialOf(s.Partial), Peek: s.Peek}
		switch {
		case len(s.HeaderFields) > 0:
			sec.Kind, sec.Fields = "HEADER.FIELDS", s.HeaderFields
		case len(s.HeaderFieldsNot) > 0:
			sec.Kind, sec.Fields = "HEADER.FIELDS.NOT", s.HeaderFieldsNot
		}
		f.Sections = append(f.Sections, sec)
	}
	for _, s := range o.BinarySection {
		f.Binaries = append(f.Binaries, wire.Section{Part: s.Part, Partial: partialOf(s.Partial), Peek: s.Peek, Binary: true})
	}
	for _, s := range o.BinarySectionSize {
		f.BinarySizes = append(f.BinarySizes, s.Part)
	}
	return f
}

func partialOf(p *imap.SectionPartial) *wire.Partial {
	if p == nil {
		return nil
	}
	return &wire.Partial{Offset: p.Offset, Count: p.Size}
}

// engineSink writes a FETCH through the engine. The engine's lock is held from the
// first thing that is said of a message until end.
type engineSink struct {
	*fetch
	w   *imapserver.FetchWriter
	o   *imap.FetchOptions
	out *imapserver.FetchResponseWriter
}

func (k *engineSink) response() *imapserver.FetchResponseWriter {
	if k.out == nil {
		k.out = k.w.CreateMessage(seqNum(k.m.Index))
	}
	return k.out
}

func (k *engineSink) end() error {
	if k.out == nil {
		return nil
	}
	err := k.out.Close()
	k.out = nil
	return err
}

func (k *engineSink) attributes(list []string) {
	if k.o.UID {
		k.response().WriteUID(uid(k.m.UID))
	}
	if k.o.Flags {
		k.response().WriteFlags(flags(list))
	}
	if k.o.InternalDate {
		k.response().WriteInternalDate(k.m.Date)
	}
	if k.o.RFC822Size {
		k.response().WriteRFC822Size(k.m.Size)
	}
}

func (k *engineSink) structure() {
	if k.o.Envelope {
		k.response().WriteEnvelope(envelope(k.meta.Header))
	}
	if k.o.BodyStructure != nil {
		k.response().WriteBodyStructure(bodyStructure(k.meta.Root))
	}
}

func (k *engineSink) binarySize(part []int, n int64) {
	sec := &imap.FetchItemBinarySectionSize{Part: part}
	k.response().WriteBinarySectionSize(sec, uint32(min(n, math.MaxUint32)))
}

// literal begins a literal. The engine cannot write NIL for a part that is not
// there: it is empty.
func (k *engineSink) literal(sec *wire.Section, n int64) io.WriteCloser {
	n = max(n, 0)
	for i := range k.fetch.o.Binaries {
		if sec == &k.fetch.o.Binaries[i] {
			return k.response().WriteBinarySection(k.o.BinarySection[i], n)
		}
	}
	i := 0
	for sec != &k.fetch.o.Sections[i] {
		i++
	}
	return k.response().WriteBodySection(k.o.BodySection[i], n)
}
