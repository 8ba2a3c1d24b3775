package lmtpadapter

import (
	"errors"
	"io"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/letterlock/letterlock/mailbox"
)

// message is the bytes of one message on their way in. It counts them, holds
// them to the limit, and remembers why they ended early, which is the better
// answer than what the store makes of a reader that failed.
type message struct {
	src   io.Reader
	limit int64
	store *time.Timer   // what is over when the store has taken its time
	time  time.Duration // the store's at each turn; the client's is not counted

	n   int64
	err error // io.EOF at the end; else the message is not whole
}

func (m *message) Read(b []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	// One byte over the limit is asked for, so that the limit itself fits.
	if room := m.limit + 1 - m.n; int64(len(b)) > room {
		b = b[:room]
	}
	m.store.Stop()
	n, err := m.src.Read(b)
	m.store.Reset(m.time)
	m.n += int64(n)
	switch {
	case m.n > m.limit:
		m.err = mailbox.ErrTooLarge
	case err == io.EOF:
		m.err = io.EOF
	case err != nil:
		m.err = broken(err)
	default:
		return n, nil
	}
	if m.err == mailbox.ErrTooLarge {
		n = 0
	}
	return n, m.err
}

// broken makes a read error one that has an answer: without the engine's own,
// for an engine's limit, the connection is gone or out of step.
func broken(err error) error {
	var answer *smtp.SMTPError
	if errors.As(err, &answer) {
		return answer
	}
	return errCut
}

// drain reads what the store left, so that the client can finish and hear the
// answers, and the next command is found where it begins.
func (m *message) drain() {
	if m.err == nil || m.err == mailbox.ErrTooLarge {
		if _, err := io.Copy(io.Discard, m.src); err != nil && m.err == nil {
			m.err = broken(err)
		}
	}
}

// cut reports whether the message broke off, so that what the connection brings
// next may be the rest of it.
func (m *message) cut() bool { return m.err == errCut || m.err == errStopping }
