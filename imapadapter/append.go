package imapadapter

import (
	"io"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/mailbox"
)

// AppendLimit returns the longest message that APPEND takes (RFC 7889), in bytes.
func (s *Session) AppendLimit() uint32 { return uint32(s.o.AppendLimit) }

// Append handles APPEND. When it returns nil the message is durable.
func (s *Session) Append(name string, r imap.LiteralReader, o *imap.AppendOptions) (*imap.AppendData, error) {
	op := s.begin("APPEND")
	defer op.end()
	up := &upload{op: op, r: r, left: r.Size()}
	appended, err := s.account.Append(op.ctx, name, up, mailbox.AppendOptions{Flags: translate.WithoutRecent(o.Flags), Date: o.Time, Size: r.Size()})
	switch {
	case up.err != nil: // the client's doing, and it hardly hears this
		return nil, translate.No("", "The message did not come in whole")
	case err != nil:
		return nil, op.failDestination(err)
	}
	return &imap.AppendData{UID: imap.UID(appended.UID), UIDValidity: appended.UIDValidity}, nil
}

// upload reads a literal from a client. The engine's reader ends alike when the literal
// does and when the connection does; a message that was cut off must not be taken for a
// whole one.
type upload struct {
	op    *operation
	r     io.Reader
	left  int64
	block int   // bytes until the client gets its time anew
	err   error // why the literal did not come to its end
}

func (u *upload) Read(p []byte) (int, error) {
	if u.left == 0 {
		return 0, io.EOF
	}
	if u.block <= 0 {
		u.block = transferBlock
		u.op.progress()
		if u.err = u.op.conn.NetConn().SetReadDeadline(time.Now().Add(transferTimeout)); u.err != nil {
			return 0, u.err
		}
	}
	n, err := u.r.Read(p[:min(int64(len(p)), u.left)])
	u.left -= int64(n)
	u.block -= n
	if u.left == 0 {
		return n, io.EOF
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	u.err = err
	return n, err
}
