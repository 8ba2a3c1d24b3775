package message

import (
	"bytes"
	"math/bits"
	"strings"
)

// keptFields are the fields that survive in a reduced header block, in lower
// case: first those that describe a part, then those of ENVELOPE, and References
// for threading.
var keptFields = [...]string{
	"content-type", "content-transfer-encoding", "content-id", "content-description",
	"content-disposition", "content-md5", "content-location", "content-language",
	"date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id",
	"references",
}

const mimeFields = 8 // how many of keptFields describe a part

// capture gathers a header block while it passes: as it stands up to a limit if
// it is the header of a message, and reduced to keptFields in any case, because
// whether the limit holds is known at the end only.
type capture struct {
	root  bool
	limit int
	raw   []byte
	over  bool // the block is longer than limit

	kept  []byte
	want  uint32 // the keptFields that have not come yet, a bit each
	field int    // where the current field begins in kept, -1 if it is not kept
	end   int    // how far the current field may reach in kept
	full  bool   // the current field reached its end

	looked   bool   // boundary is known
	boundary string // of the multipart that the header describes, if it does
}

func (c *capture) reset(root bool, limit int) {
	n := mimeFields
	if root {
		n = len(keptFields)
	}
	*c = capture{root: root, limit: limit, raw: c.raw[:0], kept: c.kept[:0], want: 1<<n - 1, field: -1}
}

// start takes the head of a line.
func (c *capture) start(head []byte) {
	if !continues(head) {
		c.endField()
		if name := fieldName(head); name != "" {
			c.beginField(name)
		}
	}
	c.more(head)
}

// more takes further octets of the line.
func (c *capture) more(b []byte) {
	if c.root && !c.over {
		if c.over = len(c.raw)+len(b) > c.limit; !c.over {
			c.raw = append(c.raw, b...)
		}
	}
	if c.field < 0 || c.full {
		return
	}
	if room := c.end - len(c.kept); len(b) > room {
		b, c.full = b[:room], true
	}
	c.kept = append(c.kept, b...)
}

// beginField decides whether and how far the field is kept: each field that is
// still to come has a share set aside, and this one may take the rest.
func (c *capture) beginField(name string) {
	for i, k := range keptFields {
		if c.want&(1<<i) == 0 || !strings.EqualFold(k, name) {
			continue
		}
		c.want &^= 1 << i
		share := c.limit / (2 * len(keptFields))
		c.field = len(c.kept)
		c.end = c.limit - len("\r\n\r\n") - share*bits.OnesCount32(c.want)
		return
	}
}

// opens reports whether a line is the first boundary line of the multipart that the
// header describes, as far as it was read. Such a line is no part of a header: the
// empty line before it is missing, or has blanks in it.
func (c *capture) opens(line []byte) bool {
	const contentType = 1 << 0 // its place in keptFields
	if c.want&contentType != 0 {
		return false
	}
	if !c.looked {
		p := &Part{}
		if p.setType(ParseHeader(c.kept).Get(keptFields[0])); p.IsMultipart() {
			c.boundary, _ = p.boundary()
		}
		c.looked = true
	}
	return c.boundary != "" && string(boundaryText(line)) == c.boundary
}

// endField ends the current field, at the end of a line or else of a word if it
// had to be cut.
func (c *capture) endField() {
	if c.field >= 0 && c.full {
		text := c.kept[c.field:]
		cut := bytes.LastIndexByte(text, '\n') + 1
		if cut == 0 {
			if cut = bytes.LastIndexAny(text, " \t,"); cut <= bytes.IndexByte(text, ':') {
				cut = len(text)
			}
		}
		c.kept = c.kept[:c.field+cut]
		if !bytes.HasSuffix(c.kept, newline) {
			c.kept = append(bytes.TrimRight(c.kept, "\r"), "\r\n"...)
		}
	}
	c.field, c.full = -1, false
}

// finish returns the header block, and whether it is a reduced one. The bytes are
// valid until the next reset.
func (c *capture) finish() (block []byte, cut bool) {
	c.endField()
	if c.root && !c.over {
		return c.raw, false
	}
	if n := len(c.kept); n > 0 && c.kept[n-1] != '\n' {
		c.kept = append(c.kept, "\r\n"...)
	}
	c.kept = append(c.kept, "\r\n"...)
	return c.kept, true
}
