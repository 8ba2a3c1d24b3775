package move

import (
	"bufio"
	"context"
	"io"
	"time"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/examples/mailserver/internal/archive"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/message"
)

// bodies writes every message that identities open, whatever became of the
// account's log.
func (x *exporter) bodies(ctx context.Context, s *mailbox.Store, ids []*crypto.Identity) error {
	writer, err := archive.NewWriter(x.flags.format, x.flags.out)
	if err != nil {
		return err
	}
	w, err := writer.Folder(archive.Folder{Name: mailbox.Inbox, UIDValidity: 1, UIDNext: 1, Subscribed: true})
	if err != nil {
		return err
	}
	x.report.folder(mailbox.Inbox)
	uid := uint32(0)
	for b, err := range s.Bodies(ctx, ids[0], ids[1:]...) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if b == nil {
			return err
		}
		if err == nil {
			uid++
			var bad error
			if bad, err = x.body(ctx, w, uid, b); err != nil {
				return err
			}
			err = bad
		}
		if err == nil {
			x.report.Added++
			continue
		}
		x.report.Refused++
		if err = x.problem("", b.Object, err); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return writer.Close()
}

// body writes a message. Its date is that of its Date field.
func (x *exporter) body(ctx context.Context, w archive.FolderWriter, uid uint32, b *mailbox.Body) (bad, err error) {
	r, err := b.Open(ctx)
	if err != nil {
		return err, ctx.Err()
	}
	defer r.Close()
	src := &noting{r: r}
	text := bufio.NewReaderSize(src, message.MaxHeader)
	head, _ := text.Peek(message.MaxHeader) // an error comes again
	date, ok := message.ParseDate(message.ParseEnvelope(message.ParseHeader(head)).Date)
	if !ok {
		date = time.Unix(0, 0)
	}
	_, err = w.Add(archive.Message{UID: uid, Date: date}, io.Reader(text))
	if src.err != nil && ctx.Err() == nil {
		return src.err, nil
	}
	return nil, err
}
