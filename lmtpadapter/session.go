package lmtpadapter

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	"github.com/emersion/go-smtp"

	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/observe"
)

// session is one client's, from LHLO to the end of the connection. The engine
// calls it from the goroutine of the connection, with one exception: a message
// sent with BDAT is taken by a goroutine of its own, which may still be winding
// up when RSET has begun the next transaction, or when the connection is gone.
type session struct {
	b      *Backend
	c      *smtp.Conn
	w      *wire // nil behind a server of the embedder's own
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex // of the rest
	tx      *transaction
	over    bool           // Logout was called
	lost    bool           // the connection broke inside a message
	running sync.WaitGroup // LMTPData; Add is called with mu held while tx is set
}

// transaction is one message's envelope, from MAIL to its last answer.
type transaction struct {
	id    string
	from  address
	utf8  bool
	rcpts []recipient   // that were answered 250, in their order
	begun chan struct{} // closed when LMTPData has taken the transaction up
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tx != nil {
		return errNested // RFC 5321 section 3.3; the engine takes a second one
	}
	if opts.Size > s.b.o.MaxMessage {
		return status(mailbox.ErrTooLarge)
	}
	tx := &transaction{id: newID(), utf8: opts.UTF8, begun: make(chan struct{})}
	if from != "" {
		var err error
		if tx.from, err = parseAddress(from); err != nil {
			return errBadSender
		}
	}
	s.tx = tx
	if s.w != nil {
		// The engine has one connection and has checked SIZE. From here on the
		// session counts, so that a message that is too large is answered once
		// for each recipient: the engine answers a BDAT LAST once.
		s.c.Server().MaxMessageBytes = 0
	}
	return nil
}

// Rcpt looks a recipient up.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mu.Lock()
	tx := s.tx
	s.mu.Unlock()
	switch {
	case tx == nil: // the server closed the connection
		return errOutOfOrder
	case len(tx.rcpts) >= s.b.o.MaxRecipients:
		return errTooMany
	}
	for _, r := range tx.rcpts {
		if r.given == to {
			tx.rcpts = append(tx.rcpts, r)
			return nil
		}
	}
	a, err := parseAddress(to)
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

// expected returns what is closed once LMTPData has taken up the message that
// the engine is about to take by BDAT, or nil if it will refuse it.
func (s *session) expected() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tx == nil || len(s.tx.rcpts) == 0 {
		return nil
	}
	return s.tx.begun
}

// begin takes up the transaction's message. It returns nil if there is none,
// because the connection is gone.
func (s *session) begin() *transaction {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tx == nil {
		return nil
	}
	s.running.Add(1)
	if s.w != nil {
		s.w.setBusy(true)
	}
	close(s.tx.begun)
	return s.tx
}

// LMTPData takes the message in and answers for each recipient (RFC 2033
// section 4.2). It always reads the message to its end: the engine loses count
// of the answers if it does not.
func (s *session) LMTPData(r io.Reader, answers smtp.StatusCollector) error {
	if _, chunks := r.(*io.PipeReader); s.w == nil && chunks {
		io.Copy(io.Discard, r)
		return errNoChunks
	}
	tx := s.begin()
	if tx == nil {
		return errOutOfOrder
	}
	defer s.running.Done()
	for i, answer := range s.take(tx, s.source(r)) {
		answers.SetStatus(tx.rcpts[i].given, answer)
	}
	// Everybody is answered. A result of nil would be a 250 for whoever is not.
	return errOutOfOrder
}

// source is where the bytes of the message come from: what the engine hands out
// for BDAT, which is exact, and our own reader for DATA. Behind an embedder's
// server it is the engine's for both.
func (s *session) source(r io.Reader) io.Reader {
	if _, chunks := r.(*io.PipeReader); s.w == nil || chunks {
		return r
	}
	return s.w.message()
}

// breakOff notes that the connection is out of step.
func (s *session) breakOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = true
}

// Data is what a server that is not LMTP would call.
func (s *session) Data(io.Reader) error { return errNotLMTP }

// Reset forgets the transaction: after RSET, LHLO, and the answers to a message.
func (s *session) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tx = nil
	if s.w != nil {
		s.w.reset()
		s.c.Server().MaxMessageBytes = s.b.o.MaxMessage
	} else if s.lost {
		// The answers are written. The rest of a message whose connection
		// faltered must not be read as commands.
		s.c.Conn().Close()
	}
}

// Logout is called when the connection ends.
func (s *session) Logout() error {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		s.b.o.Observe.Session(observe.LMTP, observe.Ended)
	}
	s.tx = nil
	if s.w != nil {
		s.w.setBusy(false)
	}
	return nil
}

// wait returns when no message is being taken in any more. It is called after
// Logout.
func (s *session) wait() { s.running.Wait() }
