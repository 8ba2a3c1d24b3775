package server

import (
	"slices"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/imapadapter/internal/wire"
)

// list handles LIST.
func (r *request) list() error {
	args := r.p.ListArgs()
	if err := r.p.End(); err != nil {
		return err
	}
	kind := translate.ListBasic
	if args.Extended {
		kind = translate.ListExtended
	}
	return r.listing(args, kind)
}

// lsub handles LSUB (RFC 3501 section 6.3.9).
func (r *request) lsub() error {
	r.p.SP()
	args := &wire.List{SelectSubscribed: true}
	args.Reference = r.p.Mailbox()
	r.p.SP()
	args.Patterns = []string{r.p.Pattern()}
	if err := r.p.End(); err != nil {
		return err
	}
	return r.listing(args, translate.LSUB)
}

func (r *request) listing(args *wire.List, kind translate.ListKind) error {
	if len(args.Patterns) == 1 && args.Patterns[0] == "" { // what is the separator?
		r.writeList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}}, kind)
		return nil
	}
	infos, err := r.account.Mailboxes(r.ctx)
	if err != nil {
		return r.fail(err)
	}
	o := &imap.ListOptions{
		SelectSubscribed: args.SelectSubscribed, SelectRemote: args.SelectRemote, SelectSpecialUse: args.SelectSpecialUse,
		SelectRecursiveMatch: args.SelectRecursiveMatch, ReturnSubscribed: args.ReturnSubscribed,
		ReturnChildren: args.ReturnChildren, ReturnSpecialUse: args.ReturnSpecialUse,
	}
	if slices.Contains(args.ReturnStatus, "HIGHESTMODSEQ") {
		r.knowsModSeq()
	}
	listing, err := translate.NewListing(r.ctx, kind, infos, args.Reference, args.Patterns, o)
	if err != nil {
		return r.fail(err)
	}
	for data, info := range listing.All() {
		if err := r.ctx.Err(); err != nil {
			return r.fail(err)
		}
		r.writeList(data, kind)
		if info != nil && args.ReturnStatus != nil {
			r.writeStatus(info.Name, &info.Status, args.ReturnStatus)
		}
	}
	return nil
}

// writeList writes one LIST or LSUB response.
func (r *request) writeList(data *imap.ListData, kind translate.ListKind) {
	w := r.w
	if kind == translate.LSUB {
		w.Text("* LSUB (")
	} else {
		w.Text("* LIST (")
	}
	for i, a := range data.Attrs {
		if i > 0 {
			w.Text(" ")
		}
		w.Text(string(a))
	}
	w.Text(`) "/" `)
	w.Mailbox(data.Mailbox)
	if data.ChildInfo != nil && data.ChildInfo.Subscribed {
		w.Text(` ("CHILDINFO" ("SUBSCRIBED"))`)
	}
	w.end()
}
