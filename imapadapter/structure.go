package imapadapter

import (
	"math"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/mailbox/message"
)

// bodyStructure returns BODYSTRUCTURE of a part in the engine's terms. The
// engine has no place for Content-MD5, and sorts parameters by name. It panics if
// a multipart has no parts or the extension data is missing; package message
// promises the first not to happen, and here it cannot.
func bodyStructure(p *message.Part) imap.BodyStructure {
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
			out.Children = append(out.Children, bodyStructure(c))
		}
		return out
	}
	out := &imap.BodyStructureSinglePart{
		Type:        clean(p.Type),
		Subtype:     clean(p.Subtype),
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
	case p.IsMultipart(): // without parts
		out.Type, out.Subtype, out.Text = "text", "plain", &imap.BodyStructureText{}
	case p.IsMessage() && len(p.Children) == 1:
		out.MessageRFC822 = &imap.BodyStructureMessageRFC822{
			Envelope:      envelope(p.Children[0].Header),
			BodyStructure: bodyStructure(p.Children[0]),
			NumLines:      p.Lines,
		}
	case p.IsMessage():
		out.Type, out.Subtype = "application", "octet-stream"
	case p.Type == "text":
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
