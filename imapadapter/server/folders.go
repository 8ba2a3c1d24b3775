package server

import (
	"strings"

	"github.com/letterlock/letterlock/mailbox"
)

// create handles CREATE, with the attributes of RFC 6154. The answer has the identity of
// what was made (RFC 8474 section 4.1).
func (r *request) create() error {
	name, uses := r.p.Create()
	if err := r.p.End(); err != nil {
		return err
	}
	if err := r.account.Create(r.ctx, name, uses...); err != nil {
		return r.fail(err)
	}
	if st, err := r.account.Status(r.ctx, name); err == nil {
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
	return r.fail(r.account.Delete(r.ctx, name))
}

// rename handles RENAME.
func (r *request) rename() error {
	r.p.SP()
	from := r.p.Mailbox()
	r.p.SP()
	to := r.p.NewMailbox()
	if err := r.p.End(); err != nil {
		return err
	}
	return r.fail(r.account.Rename(r.ctx, from, to))
}

// subscribe handles SUBSCRIBE and UNSUBSCRIBE.
func (r *request) subscribe() error {
	name, err := r.mailboxArgument()
	if err != nil {
		return err
	}
	return r.fail(r.account.Subscribe(r.ctx, name, !strings.HasPrefix(r.name, "UN")))
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
