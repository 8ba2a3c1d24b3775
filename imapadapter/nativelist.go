package imapadapter

import (
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// list handles LIST.
func (r *request) list() error {
	args := r.p.ListArgs()
	if err := r.p.End(); err != nil {
		return err
	}
	return r.listing(args, false)
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
	return r.listing(args, true)
}

func (r *request) listing(args *wire.List, lsub bool) error {
	if len(args.Patterns) == 1 && args.Patterns[0] == "" { // what is the separator?
		r.writeList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}}, lsub)
		return nil
	}
	infos, err := r.s.account.Mailboxes(r.ctx)
	if err != nil {
		return r.fail(err)
	}
	o := &imap.ListOptions{
		SelectSubscribed: args.SelectSubscribed, SelectRemote: args.SelectRemote, SelectSpecialUse: args.SelectSpecialUse,
		SelectRecursiveMatch: args.SelectRecursiveMatch, ReturnSubscribed: args.ReturnSubscribed,
		ReturnChildren: args.ReturnChildren, ReturnSpecialUse: args.ReturnSpecialUse,
	}
	l := newListing(infos, args.Reference, args.Patterns, o, lsub)
	for _, name := range l.names {
		data, ok := l.data(name)
		if !ok {
			continue
		}
		r.writeList(data, lsub)
		if info := l.infos[name]; info != nil && info.Exists && args.ReturnStatus != nil {
			r.writeStatus(name, &info.Status, args.ReturnStatus)
		}
	}
	return nil
}

// writeList writes one LIST or LSUB response.
func (r *request) writeList(data *imap.ListData, lsub bool) {
	w := r.w
	if lsub {
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

// create handles CREATE, with the attributes of RFC 6154, and tells the identity
// of what was made (RFC 8474 section 4.1).
func (r *request) create() error {
	name, uses := r.p.Create()
	if err := r.p.End(); err != nil {
		return err
	}
	if err := r.s.account.Create(r.ctx, name, uses...); err != nil {
		return r.fail(err)
	}
	if st, err := r.s.account.Status(r.ctx, name); err == nil {
		r.code = "MAILBOXID (" + mailboxID(st.ID) + ")"
	}
	return nil
}

// mailboxArgument takes the only argument of a command.
func (r *request) mailboxArgument() (string, error) {
	r.p.SP()
	name := r.p.Mailbox()
	return name, r.p.End()
}

// delete handles DELETE.
func (r *request) delete() error {
	name, err := r.mailboxArgument()
	if err != nil {
		return err
	}
	return r.fail(r.s.account.Delete(r.ctx, name))
}

// rename handles RENAME.
func (r *request) rename() error {
	r.p.SP()
	from := r.p.Mailbox()
	r.p.SP()
	to := r.p.Mailbox()
	if err := r.p.End(); err != nil {
		return err
	}
	return r.fail(r.s.account.Rename(r.ctx, from, to))
}

// subscribe handles SUBSCRIBE and UNSUBSCRIBE.
func (r *request) subscribe() error {
	name, err := r.mailboxArgument()
	if err != nil {
		return err
	}
	return r.fail(r.s.account.Subscribe(r.ctx, name, !strings.HasPrefix(r.name, "UN")))
}

// namespace handles NAMESPACE (RFC 2342): all mailboxes are the user's own.
func (r *request) namespace() error {
	if err := r.p.End(); err != nil {
		return err
	}
	r.w.Text(`* NAMESPACE (("" "`, string(mailbox.Separator), `")) NIL NIL`)
	r.w.end()
	return nil
}
