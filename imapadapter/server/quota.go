package server

import (
	"github.com/letterlock/letterlock/mailbox"
)

// quotaRoot is the only quota root: all mailboxes of the account. An account without
// limits has none: a QUOTA response cannot be empty (RFC 9208 section 7).
const quotaRoot = ""

// quotas fails where no limits are kept.
func (r *request) quotas() error {
	if !r.account.Quotas() {
		return bad("Quotas are not kept here")
	}
	return nil
}

// getQuota handles GETQUOTA.
func (r *request) getQuota() error {
	r.p.SP()
	root := r.p.AString()
	if err := r.p.End(); err != nil {
		return err
	}
	if err := r.quotas(); err != nil {
		return err
	}
	q, held, err := r.account.Quota(r.ctx)
	switch {
	case err != nil:
		return r.fail(err)
	case root != quotaRoot || q == (mailbox.Quota{}):
		return no("NONEXISTENT", "No such quota root")
	}
	r.writeQuota(q, held)
	return nil
}

// getQuotaRoot handles GETQUOTAROOT. The mailbox need not exist: one of that name
// would have the same root.
func (r *request) getQuotaRoot() error {
	name, err := r.mailboxArgument()
	if err != nil {
		return err
	}
	if err := r.quotas(); err != nil {
		return err
	}
	if name, err = mailbox.CanonicalName(name); err != nil {
		return r.fail(err)
	}
	q, held, err := r.account.Quota(r.ctx)
	if err != nil {
		return r.fail(err)
	}
	r.w.Text("* QUOTAROOT ")
	r.w.Mailbox(name)
	if q == (mailbox.Quota{}) {
		r.w.end()
		return nil
	}
	r.w.Text(" ")
	r.w.String(quotaRoot)
	r.w.end()
	r.writeQuota(q, held)
	return nil
}

// setQuota refuses SETQUOTA: limits are an operator's to set.
func (r *request) setQuota() error {
	r.p.Quota()
	if err := r.p.End(); err != nil {
		return err
	}
	if err := r.quotas(); err != nil {
		return err
	}
	return no("NOPERM", "Limits are set by the operator")
}

// writeQuota writes a QUOTA response: of each resource that has a limit what is used and
// the limit, storage in units of 1024 bytes. Both are rounded up, so an account that is
// full does not seem to hold more than it may.
func (r *request) writeQuota(q mailbox.Quota, held mailbox.Held) {
	w := r.w
	w.Text("* QUOTA ")
	w.String(quotaRoot)
	w.Text(" (")
	sep := ""
	if q.Storage > 0 {
		w.Text("STORAGE ", num(uint64(held.Storage+1023)/1024), " ", num(uint64(q.Storage+1023)/1024))
		sep = " "
	}
	if q.Messages > 0 {
		w.Text(sep, "MESSAGE ", num(uint64(held.Messages)), " ", num(uint64(q.Messages)))
	}
	w.Text(")")
	w.end()
}
