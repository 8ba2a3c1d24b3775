package server

import "github.com/letterlock/letterlock/imapadapter/internal/deflate"

// compress handles COMPRESS (RFC 4978). The answer is the last that is not compressed.
func (r *request) compress() error {
	r.p.SP()
	mechanism := r.p.Word()
	if err := r.p.End(); err != nil {
		return err
	}
	switch {
	case mechanism != "DEFLATE":
		return no("", "No such compression mechanism")
	case r.deflate != nil:
		return no("COMPRESSIONACTIVE", "DEFLATE is active")
	case r.sentMore():
		// It was sent before the answer, so by a client that does not know whether
		// it should be compressed.
		r.hangUp()
		return bad("Nothing may follow COMPRESS")
	}
	r.text = "DEFLATE active"
	r.after = func() error {
		r.frames.Release()
		r.conn.deflate = deflate.NewWriter(r.stream)
		r.frames.Reset(deflate.NewReader(source{r.conn}))
		return nil
	}
	return nil
}
