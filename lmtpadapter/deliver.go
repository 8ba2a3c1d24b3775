package lmtpadapter

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// take delivers one message and returns the answer for each recipient.
func (s *session) take(tx *transaction, src io.Reader) []error {
	o := &s.b.o
	start := time.Now()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	patience := time.AfterFunc(o.DeliverTimeout, cancel)
	defer patience.Stop()
	m := &message{src: src, limit: o.MaxMessage, store: patience, time: o.DeliverTimeout}
	to, places := s.envelope(tx)
	ctx, end := o.Observe.Start(ctx, observe.SpanMessage)
	errs := s.b.store.Deliver(ctx, to, m)
	end(errors.Join(errs...) != nil)
	m.drain()
	if m.cut() {
		s.lost = true // what comes next may be the rest of it
	}

	answers := make([]error, len(tx.rcpts))
	var failed error
	var delivered int
	for i, at := range places {
		answer := reply(250, smtp.EnhancedCode{2, 0, 0}, "Delivered, id "+tx.id)
		if err := errs[at]; err != nil {
			failed = err
			if m.err != nil && m.err != io.EOF {
				err = m.err
			}
			answer = status(err)
		} else {
			delivered++
		}
		answers[i] = answer
	}
	s.b.report(tx, m, delivered, failed, time.Since(start))
	return answers
}

// envelope lists the recipients for the store, each once, and for each of the
// transaction's where it is in that list: an address given twice, also in
// another case, gets one copy and two answers.
func (s *session) envelope(tx *transaction) (to []mailbox.Recipient, places []int) {
	t := trace{
		from: tx.from, helo: s.c.Hostname(), peer: peerIP(s.c.Conn()), by: s.b.o.Domain,
		utf8: tx.utf8, id: tx.id, at: s.b.o.Now(),
	}
	if s.w != nil {
		t.secure = s.w.secure
	} else {
		_, t.secure = s.c.TLSConnectionState()
	}
	type key struct{ account, folder, address string }
	seen := make(map[key]int, len(tx.rcpts))
	places = make([]int, len(tx.rcpts))
	for i, r := range tx.rcpts {
		k := key{strings.ToLower(r.account), r.folder, strings.ToLower(r.to.plain())}
		at, ok := seen[k]
		if !ok {
			at = len(to)
			seen[k] = at
			to = append(to, mailbox.Recipient{Account: r.account, Folder: r.folder, Prefix: t.lines(r.to)})
		}
		places[i] = at
	}
	return to, places
}

// report logs one message. What the store returned is logged, since its errors
// name no address; what the client was told is in the answers.
func (b *Backend) report(tx *transaction, m *message, delivered int, failed error, took time.Duration) {
	attrs := []any{
		slog.String("id", tx.id), slog.Int64("bytes", m.n), slog.Int("recipients", len(tx.rcpts)),
		slog.Int("delivered", delivered), slog.Duration("took", took),
	}
	switch {
	case failed == nil:
		b.o.Logger.Info("message delivered", attrs...)
	case m.err == io.EOF:
		b.o.Logger.Error("message not delivered to every recipient", append(attrs, slog.Any("error", failed))...)
	default: // the client's doing
		b.o.Logger.Warn("message refused", append(attrs, slog.Any("error", m.err))...)
	}
}
