package message

import "errors"

// check reports what in a decoded message breaks the promises of its type.
func (m *Message) check() error {
	r := m.Root
	switch {
	case r.HeaderOffset != 0 || r.HeaderSize > m.Size || r.BodySize != m.Size-r.HeaderSize:
		return errors.New("the root is not the whole message")
	case len(r.Header) != 0 || r.HeaderCut:
		return errors.New("the root has a second header block")
	case badBlock(m.Header, m.HeaderCut, r.HeaderSize, MaxHeader):
		return errors.New("the header block does not fit the header")
	case badPreview(m.Preview):
		return errors.New("the preview is none")
	}
	return r.check()
}

func (p *Part) check() error {
	switch {
	case p.Type == "" || p.Subtype == "" || p.Encoding == "":
		return errors.New("part without a type or encoding")
	case lower(p.Type) != p.Type || lower(p.Subtype) != p.Subtype || lower(p.Encoding) != p.Encoding ||
		lower(p.Disposition) != p.Disposition || !lowerNames(p.Params) || !lowerNames(p.DispositionParams):
		return errors.New("name in upper case")
	case p.Lines > p.BodySize || p.Lines > 0 && p.Type != "text" && !p.IsMessage():
		return errors.New("wrong number of lines")
	case p.IsMultipart() && len(p.Children) == 0:
		return errors.New("multipart without parts")
	case p.IsMessage() && len(p.Children) != 1:
		return errors.New("enclosed message without a root")
	case !p.IsMultipart() && !p.IsMessage() && len(p.Children) > 0:
		return errors.New("leaf with parts")
	}
	at := p.BodyOffset
	for _, c := range p.Children {
		// Compared so that no sum overflows.
		left := p.end() - at
		if c.HeaderOffset < at || c.HeaderOffset-at > left || c.HeaderSize > left-(c.HeaderOffset-at) ||
			c.BodySize > p.end()-c.BodyOffset {
			return errors.New("part outside of the part around it")
		}
		if p.IsMessage() {
			if c.HeaderOffset != p.BodyOffset || c.end() != p.end() ||
				badBlock(c.Header, c.HeaderCut, c.HeaderSize, MaxEnclosedHeader) {
				return errors.New("the enclosed message does not fit the part around it")
			}
		} else if len(c.Header) != 0 || c.HeaderCut {
			return errors.New("header block of a part that is no message")
		}
		if err := c.check(); err != nil {
			return err
		}
		at = c.end()
	}
	return nil
}

// badBlock reports whether a header block cannot be that of a header of size
// octets.
func badBlock(block []byte, cut bool, size int64, limit int) bool {
	if cut {
		return len(block) > limit || size <= int64(limit)
	}
	return int64(len(block)) != size
}

func lowerNames(list []Param) bool {
	for _, p := range list {
		if p.Name == "" || lower(p.Name) != p.Name {
			return false
		}
	}
	return true
}
