package server

import (
	"context"
	"errors"
	"log/slog"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
)

// fail returns the answer for an error, and logs the error if the client is not its
// cause.
func (op *operation) fail(err error) error { return op.answerFor(err, translate.Error) }

// failDest is fail for commands whose destination may be missing (RFC 9051 sections
// 6.3.12 and 6.4.7).
func (op *operation) failDest(err error) error { return op.answerFor(err, translate.DestinationError) }

func (op *operation) answerFor(err error, table func(error) (*imap.Error, bool)) error {
	if err == nil {
		return nil
	}
	op.failed = true
	answer, trouble := table(err)
	if trouble {
		op.warn(err)
	}
	return answer
}

// warn logs trouble, but not that of a connection which is gone: there it only says that
// the work was cancelled.
func (op *operation) warn(err error) {
	if op.conn.life.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	op.conn.o.Logger.Warn("imap command failed", slog.Uint64("session", op.conn.id), slog.String("command", op.name), slog.Any("error", err))
}

var errDeleted = translate.ErrDeleted

func no(code imap.ResponseCode, text string) error { return translate.No(code, text) }

func bad(text string) error { return translate.Bad(text) }

// errUIDRequired is the answer to sequence numbers after ENABLE UIDONLY (RFC 9586
// section 3.3).
var errUIDRequired = &imap.Error{Type: imap.StatusResponseTypeBad, Code: "UIDREQUIRED", Text: "Sequence numbers are not used any more"}
