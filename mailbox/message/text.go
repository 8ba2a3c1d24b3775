package message

import (
	"errors"
	"io"
)

// ErrUnknownCTE is what the reader of [Part.Decode] returns for a part whose
// Content-Transfer-Encoding is none of RFC 2045 (IMAP: NO [UNKNOWN-CTE]).
var ErrUnknownCTE = errors.New("message: unknown content transfer encoding")

// Decode returns the content of the part without its transfer encoding, for
// BINARY (RFC 3516), from body, which yields the part's body. It decodes as it is
// read. Octets that base64 and quoted-printable do not allow are passed over, or
// are text. An encoding that is not known makes the first Read fail with
// [ErrUnknownCTE].
func (p *Part) Decode(body io.Reader) io.Reader {
	r, ok := p.decoder(body, &decoders{})
	if !ok {
		return failing{ErrUnknownCTE}
	}
	return r
}

// Text returns the text of the part in UTF-8, for searching, from body, which
// yields the part's body: the transfer encoding removed, an unknown one left as
// it is, and the charset converted. It decodes as it is read, and fails only if
// body does.
//
// US-ASCII, UTF-8, no charset and unknown ones are read as UTF-8, and octets that
// are none as Windows-1252.
func (p *Part) Text(body io.Reader) io.Reader {
	return p.text(body, &decoders{})
}

func (p *Part) text(body io.Reader, d *decoders) io.Reader {
	r, _ := p.decoder(body, d)
	return charsetReader(p.Param("charset"), r)
}

// decoders holds the buffers of decoders, to use them for one part after another.
type decoders struct {
	block  int // how much is read at once; blockSize if 0
	base64 *base64Reader
	qp     *qpReader
}

func (d *decoders) blockSize() int {
	if d.block > 0 {
		return d.block
	}
	return blockSize
}

// forget lets go of what was last read from.
func (d *decoders) forget() {
	if d.base64 != nil {
		d.base64.reset(nil)
	}
	if d.qp != nil {
		d.qp.reset(nil)
	}
}

func (p *Part) decoder(body io.Reader, d *decoders) (r io.Reader, known bool) {
	switch p.Encoding {
	case "base64":
		if d.base64 == nil {
			d.base64 = newBase64Reader(d.blockSize())
		}
		d.base64.reset(body)
		return d.base64, true
	case "quoted-printable":
		if d.qp == nil {
			d.qp = newQPReader(d.blockSize())
		}
		d.qp.reset(body)
		return d.qp, true
	case "7bit", "8bit", "binary":
		return body, true
	}
	return body, false
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
