package imapadapter

import (
	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/mailbox"
)

// List handles LIST, and LSUB as LIST (SUBSCRIBED): the engine does not say which of the
// two it is.
func (s *Session) List(w *imapserver.ListWriter, ref string, patterns []string, o *imap.ListOptions) error {
	op := s.begin("LIST")
	defer op.end()
	if err := checkStatus(o.ReturnStatus); err != nil {
		return err
	}
	if len(patterns) == 0 { // LIST "" "": what is the separator?
		return w.WriteList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: mailbox.Separator})
	}
	infos, err := s.account.Mailboxes(op.ctx)
	if err != nil {
		return op.fail(err)
	}
	kind := translate.ListBasic
	if len(patterns) > 1 || *o != (imap.ListOptions{}) {
		kind = translate.ListExtended
	}
	listing, err := translate.NewListing(op.ctx, kind, infos, ref, patterns, o)
	if err != nil {
		return op.fail(err)
	}
	for data, info := range listing.All() {
		if err := op.ctx.Err(); err != nil {
			return op.fail(err)
		}
		if info != nil && o.ReturnStatus != nil {
			data.Status = s.statusData(data.Mailbox, &info.Status)
		}
		if err := w.WriteList(data); err != nil {
			return err
		}
	}
	return nil
}
