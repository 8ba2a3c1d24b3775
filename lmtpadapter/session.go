package lmtpadapter

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// session is one client's, from LHLO to the end of the connection. The engine
// calls it from one goroutine at a time, but for Logout, which a server of the
// embedder's own may call at any time.
type session struct {
	b      *Backend
	c      *smtp.Conn
	w      *wire // nil behind a server of the embedder's own
	ctx    context.Context
	cancel context.CancelFunc
	tx     *transaction
	lost   bool // the connection broke inside a message
}

// transaction is one message's envelope, from MAIL to its last answer.
type transaction struct {
	id    string
	from  address
	utf8  bool
	rcpts []recipient // that were answered 250, in their order
}

type recipient struct {
	given   string // as the engine knows it
	to      address
	account string
	folder  string
}

var _ smtp.LMTPSession = (*session)(nil)

// Mail begins a transaction.
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	if s.tx != nil {
		return errNested // RFC 5321 section 3.3; the engine takes a second one
	}
	if opts.Size > s.b.o.MaxMessage {
		return status(mailbox.ErrTooLarge)
	}
	tx := &transaction{id: newID(), utf8: opts.UTF8}
	if from != "" {
		var err error
		if tx.from, err = parseAddress(from); err != nil {
			return errBadSender
		}
	}
	s.tx = tx
	return nil
}

// Rcpt looks a recipient up.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	tx := s.tx
	if len(tx.rcpts) >= s.b.o.MaxRecipients {
		return errTooMany
	}
	for _, r := range tx.rcpts {
		if r.given == to {
			tx.rcpts = append(tx.rcpts, r)
			return nil
		}
	}
	a, err := parseAddress(s.qualified(to))
	if err != nil {
		return errBadRcpt
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.b.o.DeliverTimeout)
	defer cancel()
	account, folder, err := s.b.resolve(ctx, a)
	if err != nil {
		answer := status(err)
		if answer.Temporary() {
			s.b.o.Observe.Session(observe.LMTP, observe.RecipientFailed)
			attrs := []any{slog.String("id", tx.id), slog.Int("code", answer.Code)}
			var reason storeError
			if errors.As(err, &reason) {
				attrs = append(attrs, slog.Any("error", reason))
			}
			s.b.o.Logger.Warn("recipient could not be looked up", attrs...)
		} else {
			s.b.o.Observe.Session(observe.LMTP, observe.RecipientRefused)
			s.b.o.Logger.Info("recipient refused", "id", tx.id, "code", answer.Code)
		}
		return answer
	}
	tx.rcpts = append(tx.rcpts, recipient{given: to, to: a, account: account, folder: folder})
	return nil
}

// qualified gives <postmaster>, the one recipient that the engine takes without a
// domain (RFC 5321 section 4.1.1.3), ours.
func (s *session) qualified(to string) string {
	if strings.Contains(to, "@") {
		return to
	}
	return to + "@" + s.b.o.home()
}

// takes reports whether a message may follow.
func (s *session) takes() bool { return s.tx != nil && len(s.tx.rcpts) > 0 }

// LMTPData takes the message in and answers for each recipient (RFC 2033
// section 4.2). It always reads the message to its end: the engine loses count
// of the answers if it does not.
func (s *session) LMTPData(r io.Reader, answers smtp.StatusCollector) error {
	if s.w != nil {
		s.w.setBusy(true)
		r = s.w.message()
	} else if _, chunks := r.(*io.PipeReader); chunks {
		io.Copy(io.Discard, r)
		return errNoChunks
	}
	tx := s.tx
	for i, answer := range s.take(tx, r) {
		answers.SetStatus(tx.rcpts[i].given, answer)
	}
	// Everybody is answered. A result of nil would be a 250 for whoever is not.
	return errOutOfOrder
}

// Data is what a server that is not LMTP would call.
func (s *session) Data(io.Reader) error { return errNotLMTP }

// Reset forgets the transaction: after RSET, LHLO, and the answers to a message.
func (s *session) Reset() {
	s.tx = nil
	if s.w != nil {
		s.w.setBusy(false)
	} else if s.lost {
		// The answers are written. The rest of a message whose connection
		// faltered must not be read as commands.
		s.c.Conn().Close()
	}
}

// Logout is called once, when the connection ends.
func (s *session) Logout() error {
	s.cancel()
	s.b.o.Observe.Session(observe.LMTP, observe.Ended)
	return nil
}
